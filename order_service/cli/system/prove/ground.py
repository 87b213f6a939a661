"""The system that is put to the proof: real servers and processes, and a line that can be broken between any two."""

import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from order_service.cli.client.api import Api
from order_service.cli.stack import Line, Network, NotReady, Program, Say, Servers, Stack, free_ports, process_of
from order_service.cli.system.breakable import Breakable, Outside
from order_service.cli.system.breakable_broker import BrokerServer
from order_service.cli.system.breakable_databases import Databases, Repeating, SmallDisk
from order_service.cli.system.breakable_stack import Processes
from order_service.cli.system.embedded import Tokens
from order_service.cli.system.may_break import PACE
from order_service.cli.system.prove.fates import STOCK
from order_service.cli.system.prove.parts import Deploys, Lines, answers
from shared.bootstrap import open_database, system_topology
from shared.database import Database
from shared.messaging.brokers.rabbitmq import RabbitMQ
from shared.migrate import migrate
from shared.service import services

TOKENS = Tokens(operator="prove-operator", customer="prove-alice")
SETTINGS = {
    **PACE,
    "API_KEYS": f"{TOKENS.operator}:operator:prove,{TOKENS.customer}:customer:alice",
    "STEP_ATTEMPTS": "payment=6,inventory=6,shipping=6,capture=6",  # trouble alone is no reason to turn back
    "WATCHDOG": "20",
    "NETWORK_TIMEOUT": "2",
    "LOG_LEVEL": "WARNING",
    **{"KEY_RATE": "0", "KEY_SHARE": "100", "OPEN_ORDERS": "0"},  # one customer makes all the load
}
IMPATIENT = {  # silence is soon a refusal: many orders turn back, and answers come when they are not wanted any more
    "STEP_TIMEOUTS": "payment=1,inventory=1,shipping=1,capture=1,issue=1,dispatch=1",
    "STEP_ATTEMPTS": "payment=2,inventory=2,shipping=2,capture=2",
}
POSTGRESQL = {"max_connections": "400", "max_wal_size": "256MB"}
DISK, DISK_PER_ORDER = 800, 0.06  # MiB
PIECES = 1_000_000  # of each product: enough for everybody
TO_START = 120.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What runs, and what can be broken of it. `urls` are those at which customers ask."""

    urls: Sequence[str]
    databases: Mapping[str, Database]
    breakables: Sequence[Breakable]
    has_disk: bool
    versions: Mapping[str, str]


@contextmanager
def ground(log: Path, *, orders: int, workers: int, webs: int, settings: Mapping[str, str]) -> Iterator[Ground]:
    """Start everything; it ends with the block. What the processes say goes into `log`; `settings` are theirs, by
    variable. Raises Missing and NotReady."""
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="prove", ignore_cleanup_errors=True)))
        folder.chmod(0o755)  # PostgreSQL does not run as root
        disk = SmallDisk(folder / "postgresql", int(DISK + DISK_PER_ORDER * orders))
        if has_disk := disk.mount():
            held.callback(disk.unmount)
        servers = held.enter_context(Servers(folder, settings=POSTGRESQL, trusts=True))
        network = held.enter_context(Network())
        stack = held.enter_context(Stack(held.enter_context(_noting(log))))
        servers.start(stack)
        databases = {name: held.enter_context(_prepared(servers, name)) for name in services()}
        RabbitMQ(servers.rabbitmq.url()).provision(system_topology())
        plan = _Plan(servers, network, workers, webs, settings)
        stack.start(*(each for programs in plan.programs.values() for each in programs))
        _wait(plan.urls.values())
        addresses = {name: plan.urls[f"{name}-web-1"] for name in services()}
        _receive_goods(addresses["inventory"])
        outside = Outside(addresses, TOKENS.operator)
        outside.mend_all()
        yield Ground(
            urls=[f"http://127.0.0.1:{line.port}" for (who, _), line in plan.lines.items() if who == "customers"],
            databases=databases,
            breakables=[
                Processes(stack, ("epmd",)),
                BrokerServer(stack, servers.rabbitmq, databases),
                Databases(servers.postgresql, {name: name for name in services()}),
                *([disk] if has_disk else []),
                outside,
                Repeating(databases),
                Deploys(stack, plan.programs, plan.urls),
                Lines(network, plan.lines),
            ],
            has_disk=has_disk,
            versions={"postgresql": servers.postgresql.version(), "rabbitmq": servers.rabbitmq.version()},
        )


class _Plan:
    """The processes of all services, each with lines of its own, and where they listen."""

    def __init__(
        self, servers: Servers, network: Network, workers: int, webs: int, settings: Mapping[str, str]
    ) -> None:
        self._servers, self._network, self._settings = servers, network, settings
        self.lines: dict[tuple[str, str], Line] = {}
        self.urls: dict[str, str] = {}
        self.programs: dict[str, list[Program]] = {name: [] for name in services()}
        ports = iter(free_ports(webs * len(services())))
        for service in services():
            for number in range(1, workers + 1):
                self._add(service, f"{service}-worker-{number}", "worker", {"BROKER_URL": ""})
            for number in range(1, webs + 1):
                name, port = f"{service}-web-{number}", next(ports)
                self.urls[name] = f"http://127.0.0.1:{port}"
                self._add(service, name, "web", {"PORT": str(port)})
                if service == "order":
                    self.lines["customers", name] = network.line(port)

    def _add(self, service: str, name: str, verb: str, settings: dict[str, str]) -> None:
        postgresql, rabbitmq = self._servers.postgresql, self._servers.rabbitmq
        settings["DATABASE_URL"] = self._through(name, "database", postgresql.port, postgresql.url(service))
        if "BROKER_URL" in settings:
            settings["BROKER_URL"] = self._through(name, "broker", rabbitmq.port, rabbitmq.url())
        self.programs[service].append(process_of(service, verb, name=name, **self._settings, **settings))

    def _through(self, who: str, whom: str, port: int, url: str) -> str:
        """The same address, by way of a line of its own."""
        line = self.lines[who, whom] = self._network.line(port)
        return url.replace(f"127.0.0.1:{port}", f"127.0.0.1:{line.port}")


def _prepared(servers: Servers, name: str) -> Database:
    servers.postgresql.create(name)
    database = open_database(services()[name].settings(environ={}, database_url=servers.postgresql.url(name)))
    migrate(services()[name], database)
    return database


def _wait(urls: Iterable[str]) -> None:
    unready, until = set(urls), time.monotonic() + TO_START
    while unready := {url for url in unready if not answers(url, "/readyz")}:
        if time.monotonic() > until:
            raise NotReady(f"not ready within {TO_START:.0f} s: {', '.join(sorted(unready))}")
        time.sleep(0.1)


def _receive_goods(url: str) -> None:
    with Api(url, TOKENS.operator) as api:
        for sku in STOCK:
            api.call("POST", f"/stock/{sku}/receipts", {"quantity": PIECES}, Idempotency_Key=f"prove-{sku}")


@contextmanager
def _noting(log: Path) -> Iterator[Say]:
    """What processes say goes into a file."""
    writing = threading.Lock()
    with log.open("w", buffering=1) as file:

        def say(name: str, line: str) -> None:
            with writing:
                print(f"{name} | {line}", file=file)

        yield say
