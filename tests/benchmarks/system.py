"""The four services as processes on the benchmark's own servers, with figures of what each party uses up."""

import os
import time
import urllib.request
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, LiteralString

import pika
import psycopg
from sqlalchemy import text

from order_service.cli.stack import NotReady, Stack, free_ports, processes_of_all
from shared.bootstrap import system_topology
from shared.database import Database
from shared.messaging.brokers.rabbitmq import RabbitMQ
from shared.messaging.topology import inbox_of
from shared.migrate import migrate
from shared.service import services
from tests.benchmarks.measure import cpu_seconds
from tests.benchmarks.servers import Servers

TOKEN = "bench-alice"  # of the customer alice
KEYS = f"bench-operator:operator,{TOKEN}:customer:alice"
UNLIMITED = {"KEY_RATE": "0", "KEY_SHARE": "100", "OPEN_ORDERS": "0"}  # one caller makes all the load
SKUS = 100  # cheap enough that a hundred lines need no approval
GOODS = {
    "order": ["INSERT INTO products SELECT 'SKU-' || n, 'Goods ' || n, 100, now() FROM generate_series(0, :last) n"],
    "inventory": [
        "INSERT INTO stock SELECT 'SKU-' || n, 1000000000, 0 FROM generate_series(0, :last) n",
        "INSERT INTO stock_movements SELECT 'bench/goods', sku, 'received', on_hand, now() FROM stock",
        "INSERT INTO receipts SELECT 'bench', sku, 'goods', on_hand, on_hand, now() FROM stock",
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
                    log = (self.servers.folder / "processes.log").read_text()
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
    urls = dict(zip(web, (f"http://127.0.0.1:{port}" for port in free_ports(len(web))), strict=True))
    programs = processes_of_all(system.databases, system.broker_url, dict.fromkeys(services(), workers), urls, KEYS,
                                **UNLIMITED | {"LOG_LEVEL": "WARNING"} | dict(settings or {}))  # fmt: skip
    with Stack(system.servers.stack.say, restarts=False) as stack:
        try:
            for programs_at_a_time in [[each] for each in programs] if one_by_one else [list(programs)]:
                began = time.monotonic()
                parties = {each.name: party(each.name) for each in programs_at_a_time}
                # PostgreSQL tells by this name whose a connection is
                stack.start(*(replace(each, environment={**each.environment, "PGAPPNAME": parties[each.name]})
                              for each in programs_at_a_time))  # fmt: skip
                for name, counted in parties.items():
                    stack.wait_until(f"ready: {name}", partial(_is_ready, system, name, urls), TO_START)
                    seconds[counted] = time.monotonic() - began
                    system.processes.setdefault(counted, []).append(stack.process_ids()[name])
        except NotReady as error:
            raise Stuck(str(error)) from error
        system.urls |= urls
        yield seconds
    system.processes.clear()


def party(process: str) -> str:
    """What a process is counted as: `order worker` for `order-worker-2`."""
    return " ".join(process.split("-")[:2])


@contextmanager
def running(servers: Servers, **options: Any) -> Iterator[System]:
    """A system of its own, started as `started` has it."""
    system = made(servers)
    with started(system, **options):
        yield system


def _is_ready(system: System, process: str, urls: Mapping[str, str]) -> bool:
    service, _, number = process.partition("-worker-")
    return (
        _consumes(system.broker_url, service, int(number)) if number else _answers(urls[process.removesuffix("-web")])
    )


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
