"""The four services as processes on the benchmark's own servers, with figures of what each party uses up."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from sqlalchemy import text

from shared.config import environment
from shared.database import Database
from shared.messaging.rabbitmq import RabbitMQ
from shared.migrate import migrate
from shared.process import system_topology
from shared.service import services
from tests.benchmarks.measure import cpu_seconds
from tests.benchmarks.servers import Servers, end, free_port

TOKEN = "bench-alice"  # of the customer alice
KEYS = f"bench-operator:operator,{TOKEN}:customer:alice"
SKUS = 100  # cheap enough that a hundred lines need no approval
GOODS = {
    "order": ["INSERT INTO products SELECT 'SKU-' || n, 'Goods ' || n, 100, now() FROM generate_series(0, :last) n"],
    "inventory": [
        "INSERT INTO stock SELECT 'SKU-' || n, 1000000000, 0 FROM generate_series(0, :last) n",
        "INSERT INTO stock_movements SELECT 'bench', sku, 'received', on_hand, now() FROM stock",
    ],
}
WATCHER = "bench_watcher"  # a role of its own, so that looking is not counted as working
COUNTING = {"shared_preload_libraries": "pg_stat_statements"}  # what the servers need for it
Watcher = psycopg.Connection[tuple[Any, ...]]
NAIVE = {"BATCH_LIMIT": "1", "PUBLISH_WINDOW": "1"}  # a transaction per message, one confirm at a time


class Stuck(Exception):
    """Orders do not end."""


@dataclass
class System:
    """Addresses, and processes by what they are counted as."""

    servers: Servers
    databases: Mapping[str, str]  # as SQLAlchemy reads them
    broker_url: str
    processes: dict[str, list[int]] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)

    def connect(self, service: str = "order") -> Watcher:
        """A look into a service's database, under a name of its own."""
        return psycopg.connect(plain(self.databases[service]), autocommit=True, user=WATCHER)

    def cpu(self) -> dict[str, float]:
        """Processor seconds by party since each began."""
        mine = {name: cpu_seconds(*pids) for name, pids in self.processes.items()}
        return mine | self.servers.cpu_seconds()

    def under_way(self, watcher: Watcher) -> int:
        """How many orders have not ended; by index, however many have."""
        found: int = scalar(watcher, "SELECT count(*) FROM sagas WHERE wake_at IS NOT NULL")
        return found

    def wait_for_the_end(self, patience: float = 30.0) -> None:
        """Return when no order is under way; raises Stuck when none ends for so many seconds."""
        with self.connect() as watcher:
            left, until = self.under_way(watcher), time.monotonic() + patience
            while left:
                time.sleep(0.02)
                if (now := self.under_way(watcher)) != left:
                    left, until = now, time.monotonic() + patience
                elif time.monotonic() > until:
                    log = (self.servers.folder / "services.log").read_text()
                    raise Stuck(f"{left} orders do not end: {log[-2000:]}")

    def memory(self) -> dict[str, float]:
        """Resident MiB by party; of several processes, the sum."""
        page = os.sysconf("SC_PAGE_SIZE") / 2**20
        sizes = {
            name: [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids]
            for name, pids in self.processes.items()
        }
        return {name: sum(pages) * page for name, pages in sizes.items()}


def row(connection: Watcher, query: LiteralString, *values: Any) -> Any:
    """The one row that a query finds."""
    return connection.execute(query, values or None).fetchone()


def scalar(connection: Watcher, query: LiteralString, *values: Any) -> Any:
    """The one value that a query finds."""
    return row(connection, query, *values)[0]


def plain(url: str) -> str:
    """The address as libpq reads it."""
    return url.replace("+psycopg", "")


@contextmanager
def running(
    servers: Servers, *, workers: int = 1, web: bool = False, settings: Mapping[str, str] | None = None
) -> Iterator[System]:
    """Empty databases, a catalog of SKUS, and `workers` workers a service; with `web`, the Order API as well."""
    databases = {name: servers.database_url(f"bench_{name}") for name in services()}
    system = System(servers, databases, servers.broker_url("bench"))
    prepare(system)
    with ExitStack() as stack:
        start(system, stack, workers=workers, web=web, settings=settings)
        yield system


def prepare(system: System) -> None:
    """Tables, goods and queues."""
    for name, service in services().items():
        database = Database(system.databases[name])
        migrate(service, database, seed=False)
        with database.transaction() as connection:
            for statement in GOODS.get(name, []):
                connection.execute(text(statement), {"last": SKUS - 1} if ":last" in statement else {})
            if name == "order":
                connection.execute(text("CREATE EXTENSION IF NOT EXISTS pg_stat_statements"))
                known = text("SELECT 1 FROM pg_roles WHERE rolname = :role")
                if not connection.execute(known, {"role": WATCHER}).scalar():
                    connection.execute(text(f"CREATE ROLE {WATCHER} SUPERUSER LOGIN"))
        database.dispose()
    RabbitMQ(system.broker_url).provision(system_topology(), settle=0.1)


def start(
    system: System, stack: ExitStack, *, workers: int = 1, web: bool = False, settings: Mapping[str, str] | None = None
) -> None:
    """Start the processes; they end with the stack."""
    for name, service in services().items():
        given = {"DATABASE_URL": system.databases[name], "BROKER_URL": system.broker_url, "LOG_LEVEL": "WARNING"}
        given |= {"LOG_FORMAT": "text", "API_KEYS": KEYS} | dict(settings or {})
        for _ in range(workers):
            _spawn(system, stack, f"{name} worker", [service.package, "worker"], given)
        if web and name == "order":
            given["PORT"] = str(free_port())
            _spawn(system, stack, "order web", [service.package, "web"], given)
            system.urls[name] = f"http://127.0.0.1:{given['PORT']}"
            _wait_until_ready(system.urls[name])


def _spawn(system: System, stack: ExitStack, name: str, words: list[str], given: Mapping[str, str]) -> None:
    log = stack.enter_context((system.servers.folder / "services.log").open("a"))
    process = subprocess.Popen([sys.executable, "-m", *words], env=environment(**given), stdout=log, stderr=log)
    stack.callback(end, process, signal.SIGTERM)
    system.processes.setdefault(name, []).append(process.pid)


def _wait_until_ready(url: str, patience: float = 30.0) -> None:
    until = time.monotonic() + patience
    while True:
        try:
            urllib.request.urlopen(f"{url}/readyz", timeout=5).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return
