"""The four services as processes on the benchmark's own servers, with figures of what each party uses up."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, LiteralString

import pika
import psycopg
from sqlalchemy import text

from order_service.cli.stack import free_port
from shared.bootstrap import system_topology
from shared.config import environment
from shared.database import Database
from shared.messaging.brokers.rabbitmq import RabbitMQ
from shared.messaging.topology import inbox_of
from shared.migrate import migrate
from shared.service import services
from tests.benchmarks.measure import cpu_seconds
from tests.benchmarks.servers import Servers, end

TOKEN = "bench-alice"  # of the customer alice
KEYS = f"bench-operator:operator,{TOKEN}:customer:alice"
UNLIMITED = {"KEY_RATE": "0", "KEY_SHARE": "100"}  # one caller makes all the load
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
# A transaction a message, an event a message, one confirm at a time.
NAIVE = {"BATCH_LIMIT": "1", "BUNDLE_LIMIT": "1", "PUBLISH_WINDOW": "1"}
TO_START = 60.0  # seconds


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

    def wait_for_the_end(self, patience: float = 30.0) -> None:
        """Return when no order is under way; raises Stuck when none ends for so many seconds."""
        with UnderWay(self.databases["order"]) as under_way:
            left, until = under_way.count(), time.monotonic() + patience
            while left:
                time.sleep(0.02)
                if (now := under_way.count()) != left:
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


class UnderWay(AbstractContextManager["UnderWay"]):
    """Counts the orders that have not ended, by an index that is read from end to end: so what has ended is passed over
    once, and then marked. A bitmap of the index would find all that ended since the last vacuum again, each time."""

    def __init__(self, database_url: str) -> None:
        plan = "-c enable_bitmapscan=off -c enable_seqscan=off"
        self._watcher: Watcher = psycopg.connect(plain(database_url), autocommit=True, user=WATCHER, options=plan)

    def __exit__(self, *_: object) -> None:
        self._watcher.close()

    def count(self) -> int:
        found: int = scalar(self._watcher, "SELECT count(*) FROM sagas WHERE wake_at IS NOT NULL")
        return found


def row(connection: Watcher, query: LiteralString, *values: Any) -> Any:
    """The one row that a query finds."""
    return connection.execute(query, values or None).fetchone()


def scalar(connection: Watcher, query: LiteralString, *values: Any) -> Any:
    """The one value that a query finds."""
    return row(connection, query, *values)[0]


def plain(url: str) -> str:
    """The address as libpq reads it."""
    return url.replace("+psycopg", "")


def made(servers: Servers) -> System:
    """Empty databases with tables, goods and queues, and no processes yet."""
    databases = {name: servers.database_url(f"bench_{name}") for name in services()}
    system = System(servers, databases, servers.broker_url("bench"))
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
    return system


@contextmanager
def started(
    system: System,
    *,
    workers: int = 1,
    web: Collection[str] = (),
    settings: Mapping[str, str] | None = None,
    one_by_one: bool = False,
) -> Iterator[dict[str, float]]:
    """Start `workers` workers a service, the APIs of the services in `web`, and end them with the block.

    Yields how many seconds each took until it was ready; that is worth knowing when they were started `one_by_one`.
    """
    seconds: dict[str, float] = {}
    waits: list[tuple[str, float, Callable[[], bool]]] = []
    with ExitStack() as stack:
        stack.callback(system.processes.clear)
        for name, service in services().items():
            given = {"DATABASE_URL": system.databases[name], "BROKER_URL": system.broker_url, "LOG_LEVEL": "WARNING"}
            given |= {
                "LOG_FORMAT": "text",
                "API_KEYS": KEYS,
                "KEY_RATE": "0",
                "KEY_SHARE": "100",
                "PORT": str(free_port()),
            } | dict(settings or {})
            for number in range(workers):
                _spawn(system, stack, f"{name} worker", [service.package, "worker"], given)
                consumes = partial(_consumes, system.broker_url, name, number + 1)
                waits.append((f"{name} worker", time.monotonic(), consumes))
                _wait(seconds, waits if one_by_one else [])
            if name in web:
                _spawn(system, stack, f"{name} web", [service.package, "web"], given)
                system.urls[name] = f"http://127.0.0.1:{given['PORT']}"
                waits.append((f"{name} web", time.monotonic(), partial(_answers, system.urls[name])))
                _wait(seconds, waits if one_by_one else [])
        _wait(seconds, waits)
        yield seconds


@contextmanager
def running(servers: Servers, **options: Any) -> Iterator[System]:
    """A system of its own, started as `started` has it."""
    system = made(servers)
    with started(system, **options):
        yield system


def _spawn(system: System, stack: ExitStack, name: str, words: list[str], given: Mapping[str, str]) -> None:
    log = stack.enter_context((system.servers.folder / "services.log").open("a"))
    own = environment(**given, PGAPPNAME=name)  # by which PostgreSQL tells whose a connection is
    process = subprocess.Popen([sys.executable, "-m", *words], env=own, stdout=log, stderr=log)
    stack.callback(end, process, signal.SIGTERM)
    system.processes.setdefault(name, []).append(process.pid)


def _wait(seconds: dict[str, float], waits: list[tuple[str, float, Callable[[], bool]]]) -> None:
    """Wait for each to be ready, in turn; raises Stuck."""
    while waits:
        name, began, is_ready = waits.pop(0)
        while not is_ready():
            if time.monotonic() - began > TO_START:
                raise Stuck(f"{name} does not start")
            time.sleep(0.005)
        seconds[name] = time.monotonic() - began


def _consumes(broker_url: str, name: str, workers: int) -> bool:
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        consumers: int = connection.channel().queue_declare(inbox_of(name), passive=True).method.consumer_count
    return consumers >= workers


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/readyz", timeout=5).close()
    except OSError:
        return False
    return True
