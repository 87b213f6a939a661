"""The whole system in this process: every service's API and worker in threads, on SQLite and a broker in memory."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from shared import logs
from shared.bootstrap import build_worker, open_database, pace_from, system_topology
from shared.config import Settings
from shared.database import Database
from shared.http.serve import running
from shared.messaging.brokers.embedded import Embedded
from shared.messaging.notifier import Notifier
from shared.messaging.worker import Worker
from shared.migrate import migrate
from shared.service import services

OPERATOR, CUSTOMER = "demo-operator", "demo-alice"


@dataclass(frozen=True)
class System:
    """Where everything is: API addresses and databases by service name."""

    urls: dict[str, str] = field(default_factory=dict)
    databases: dict[str, Database] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)  # of workers that gave up; none as long as all is well


@contextmanager
def running_system(folder: Path, overrides: Mapping[str, str]) -> Iterator[System]:
    """Run all services, their data in `folder`, with settings by field name; ends them when the block ends.

    The environment has no say. The tokens are OPERATOR and CUSTOMER, whose name is alice.
    """
    system, broker = System(), Embedded(system_topology())
    stop = threading.Event()
    with ExitStack() as stack:
        for name in sorted(services(), key=lambda each: each == "order"):  # last, for it asks the others
            settings = _settings(name, folder, overrides, system)
            logs.configure(settings)
            database = open_database(settings)
            stack.callback(database.dispose)
            migrate(services()[name], database)
            notifier = Notifier(database)
            stack.callback(notifier.close)
            worker = build_worker(services()[name], settings, database, broker, pace_from(settings))
            notifier.listen(worker.wake, other_processes=False)
            thread = threading.Thread(target=_work, args=(worker, stop, system), name=f"{name}-worker")
            thread.start()
            stack.callback(_end, worker, stop, thread)
            system.databases[name] = database
            system.urls[name] = stack.enter_context(running(services()[name].web(settings, database, notifier)))
        yield system


def _settings(name: str, folder: Path, overrides: Mapping[str, str], system: System) -> Settings:
    addresses = {f"{other}_url": url for other, url in system.urls.items()}
    given = {
        "database_url": f"sqlite:///{folder}/{name}.db",
        "api_keys": f"{OPERATOR}:operator,{CUSTOMER}:customer:alice",
        "participants_key": OPERATOR,
        "key_rate": "0",
        "key_share": "100",
        "log_level": "ERROR",
        "log_format": "text",
    }
    return services()[name].settings(environ={}, **given, **addresses, **overrides)


def _work(worker: Worker, stop: threading.Event, system: System) -> None:
    try:
        worker.run(stop)
    except Exception as error:
        system.failures.append(f"the {worker.service} worker gave up: {error!r}")
        raise


def _end(worker: Worker, stop: threading.Event, thread: threading.Thread) -> None:
    stop.set()
    worker.wake()
    thread.join()
