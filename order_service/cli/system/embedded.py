"""The whole system in this process: every service's API and worker in threads, on SQLite and a broker in memory."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from flask import Flask

from shared import logs
from shared.bootstrap import build_worker, open_database, pace_from, system_topology
from shared.config import Settings
from shared.database import Database
from shared.http.serve import running
from shared.messaging.brokers.embedded import Embedded
from shared.messaging.brokers.faults import Faults
from shared.messaging.notifier import Notifier
from shared.messaging.worker import Worker
from shared.migrate import migrate
from shared.service import services

OPERATOR, CUSTOMER = "demo-operator", "demo-alice"


class Tokens(NamedTuple):
    """With which somebody works here who is an operator and a customer."""

    operator: str
    customer: str


DEMO = Tokens(OPERATOR, CUSTOMER)


class WorkerThread:
    """A service's worker in a thread of this process, that can be frozen, taken away and started again."""

    def __init__(self, build: Callable[[], Worker], failures: list[str]) -> None:
        self._build, self._failures = build, failures
        self._thawed = threading.Event()
        self._thawed.set()
        self._worker: Worker | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to work, unless it does already."""
        if self._thread is None:
            self._worker, self._stop = self._build(), threading.Event()
            self._thread = threading.Thread(target=self._run, args=(self._worker, self._stop))
            self._thread.name = f"{self._worker.service}-worker"
            self._thread.start()

    def wake(self) -> None:
        if worker := self._worker:
            worker.wake()

    def freeze(self) -> None:
        """After the turn in hand do nothing, and give nothing back, until `thaw`."""
        self._thawed.clear()

    def thaw(self) -> None:
        self._thawed.set()

    def end(self) -> None:
        """Finish what is in hand, and end."""
        self._stop.set()
        self.thaw()
        self.wake()
        if self._thread:
            self._thread.join()
        self._thread = self._worker = None

    @property
    def state(self) -> str:
        if self._thread is None:
            return "stopped"
        return "running" if self._thawed.is_set() else "frozen"

    def _be_frozen(self) -> None:
        self._thawed.wait()

    def _run(self, worker: Worker, stop: threading.Event) -> None:
        try:
            worker.run(stop, on_turn=self._be_frozen)
        except Exception as error:
            self._failures.append(f"the {worker.service} worker gave up: {error!r}")
            raise


@dataclass(frozen=True)
class System:
    """Where everything is: API addresses and databases by service name."""

    urls: dict[str, str] = field(default_factory=dict)
    databases: dict[str, Database] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)  # of workers that gave up; none as long as all is well
    apps: dict[str, Flask] = field(default_factory=dict)
    workers: dict[str, WorkerThread] = field(default_factory=dict)


@contextmanager
def running_system(
    folder: Path, overrides: Mapping[str, str], *, order_port: int = 0, faults: Faults | None = None
) -> Iterator[System]:
    """Run all services, their data in `folder`, with settings by field name; ends them when the block ends.

    The environment has no say. The tokens are OPERATOR and CUSTOMER, whose name is alice. The Order API listens on
    `order_port`, or on any free one; the broker does to messages what `faults` says.
    """
    system, broker = System(), Embedded(system_topology(), faults)
    with ExitStack() as stack:
        for name in sorted(services(), key=lambda each: each == "order"):  # last, for it asks the others
            service, settings = services()[name], _settings(name, folder, overrides, system)
            logs.configure(settings)
            database = open_database(settings)
            stack.callback(database.dispose)
            migrate(service, database)
            notifier = Notifier(database)
            stack.callback(notifier.close)
            build = partial(build_worker, service, settings, database, broker, pace_from(settings))
            worker = WorkerThread(build, system.failures)
            notifier.listen(worker.wake, other_processes=False)
            worker.start()
            stack.callback(worker.end)
            system.databases[name], system.workers[name] = database, worker
            system.apps[name] = app = service.web(settings, database, notifier)
            port = order_port if name == "order" else 0
            system.urls[name] = stack.enter_context(running(app, port=port, threads=settings.web_threads))
        yield system


def _settings(name: str, folder: Path, overrides: Mapping[str, str], system: System) -> Settings:
    addresses = {f"{other}_url": url for other, url in system.urls.items()}
    given = {
        "database_url": f"sqlite:///{folder}/{name}.db",
        "api_keys": f"{OPERATOR}:operator,{CUSTOMER}:customer:alice",
        "participants_key": OPERATOR,
        "key_rate": "0",
        "key_share": "100",
        "open_orders": "0",
        "log_level": "ERROR",
        "log_format": "text",
    }
    return services()[name].settings(environ={}, **given, **addresses, **overrides)
