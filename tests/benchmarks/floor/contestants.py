"""The contestants: messages alone, rows alone, both as one pipeline, and ours; each has new databases and queues."""

import multiprocessing
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from shared.service import services
from tests.benchmarks.driving import drive, warm_up
from tests.benchmarks.floor.account import Account, account_of
from tests.benchmarks.floor.service import Process, Talk, keep_rows
from tests.benchmarks.load import Load
from tests.benchmarks.servers import Servers
from tests.benchmarks.system import System, made, plain, started

GROUP = 50  # orders placed in a transaction
PATIENCE = 600.0  # seconds
FORK = multiprocessing.get_context("fork")
Run = Mapping[str, Any]
Work = Callable[[str, Callable[[], None]], None]  # of a service; calls back when it is done


@contextmanager
def working(system: System, work: Work) -> Iterator[Any]:
    """A process for each service, until the end of the block; yields a semaphore that counts who is done."""
    done = FORK.Semaphore(0)
    processes = {name: FORK.Process(target=live, args=(work, name, done), daemon=True) for name in services()}
    for name, process in processes.items():
        process.start()
        assert process.pid
        system.processes[f"{name} worker"] = [process.pid]
    try:
        yield done
    finally:
        system.processes.clear()
        for process in processes.values():
            process.terminate()
            process.join()


def live(work: Work, service: str, done: Any) -> None:
    """Work until it is done, and then be there to be measured."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    work(service, done.release)
    signal.pause()


def alone(system: System, what: str, orders: int, work: Work, workers: int) -> Run:
    """What so many of the processes take until they are done; they begin at once."""
    began, before = time.monotonic(), system.servers.cpu_seconds()
    with working(system, work) as done:
        until = began + PATIENCE
        for _ in range(workers):
            while not done.acquire(timeout=1.0):
                if time.monotonic() > until or any(each.exitcode for each in multiprocessing.active_children()):
                    raise RuntimeError(f"{what} does not end")
        seconds = time.monotonic() - began
        used = system.cpu()
    cpu = {name: (each - before.get(name, 0.0)) * 1000 / orders for name, each in used.items()}
    return {"what": what, "orders": orders, "per_second": orders / seconds, "cpu": cpu, "cpu_total": sum(cpu.values())}


def messages(servers: Servers, orders: int) -> tuple[Run, None]:
    """Twelve messages an order, and nothing is written down."""
    system = made(servers)

    def work(service: str, done: Callable[[], None]) -> None:
        Talk(service, system.broker_url, orders).run()
        done()

    return alone(system, "messages", orders, work, 1), None  # participants never know that it is over


def rows(servers: Servers, orders: int) -> tuple[Run, Account]:
    """What an order leaves in four databases, and nothing is said."""
    system, run = made(servers), secrets.token_hex(4)

    def work(service: str, done: Callable[[], None]) -> None:
        keep_rows(service, plain(system.databases[service]), orders, run)
        done()

    return alone(system, "rows", orders, work, len(services())), account_of(system)


def pipeline(servers: Servers, orders: int, bundle: int = 0) -> tuple[Run, Account]:
    """Both as four real processes, from placing to the last commit; `bundle`: so many messages travel as one."""
    system = made(servers)

    def work(service: str, done: Callable[[], None]) -> None:
        Process(service, system.broker_url, plain(system.databases[service]), bundle).run()

    with working(system, work):
        run = driven(system, f"bundles of {bundle}" if bundle else "pipeline", orders, "tests.benchmarks.floor.placing")
    return run, account_of(system)


def ours(servers: Servers, orders: int) -> tuple[Run, Account]:
    """The four services as they are, placed in groups as well."""
    system = made(servers)
    with started(system):
        run = driven(system, "ours", orders, "tests.benchmarks.load")
    return run, account_of(system)


def driven(system: System, what: str, orders: int, placer: str) -> Run:
    load = Load(run="", database_url=system.databases["order"], orders=orders, group=GROUP)
    warm_up(system, load, placer)
    run = drive(system, what, load, placer).as_dict()
    del run["per_order"]  # PostgreSQL is told of some only when the processes end
    return run
