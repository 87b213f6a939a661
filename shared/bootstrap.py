"""The composition root: a service's database, its worker, and the topology that all services need together."""

import gc
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.addresses import address
from shared.config import Misconfigured, Settings
from shared.database import Database, Timeouts
from shared.depths import Depths, Queues
from shared.ids import uuid7
from shared.messaging.broker import Broker
from shared.messaging.consumer import Consumer
from shared.messaging.durability.maintenance import Maintenance
from shared.messaging.handling import Stop
from shared.messaging.notifier import Notifier
from shared.messaging.pace import Pace
from shared.messaging.topology import Topology, topology
from shared.messaging.watchdog import watch
from shared.messaging.worker import Worker
from shared.metrics import POOLS, answering
from shared.processes import end_in_time
from shared.service import Service, services

log = logging.getLogger("fulfillment.process")


def build_worker(service: Service, settings: Settings, database: Database, broker: Broker, pace: Pace) -> Worker:
    """A worker of this service, ready to run."""
    handling = service.handling(settings, database)
    consumer = Consumer(
        handling,
        service.tables,
        database,
        clock=service.clock,
        new_id=uuid7,
        body_limit=settings.body_limit,
        letter_limit=settings.letter_limit,
    )
    maintenance = Maintenance(service.tables, database, service.clock, forget=handling.forget)
    return Worker(service.name, consumer, maintenance, broker, pace)


def pace_from(settings: Settings) -> Pace:
    """The configured pace of a worker."""
    return Pace(
        batch=settings.batch_limit,
        watchdog=settings.watchdog.total_seconds(),
        outbox_kept=settings.outbox_days,
        inbox_kept=settings.inbox_days,
        letters_kept=max(settings.dead_letter_days, settings.outbox_days),  # the books look for what was published
    )


def system_topology() -> Topology:
    """The topology that all installed services need together."""
    return topology({name: list(service.handlers) for name, service in services().items()})


def open_database(settings: Settings, timeouts: Timeouts | None = None) -> Database:
    """The service's database; the folder of an SQLite file is made when missing."""
    if settings.database_url.startswith("sqlite:///"):
        folder = Path(settings.database_url.removeprefix("sqlite:///")).expanduser().parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Misconfigured(f"{settings.service}: DATABASE_URL: {folder}: {error.strerror}") from error
    database = Database(settings.database_url, timeouts=timeouts)
    POOLS.watch(settings.service, database, database.connections)
    return database


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """A batch makes thousands of objects and hardly a cycle: looking for some after every 700 is wasted."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


@contextmanager
def measured(
    service: Service, settings: Settings, database: Database, worker: Worker, queues: Queues | None
) -> Iterator[None]:
    """Within it, metrics are answered at METRICS_PORT if there is one. Raises Misconfigured when it cannot be had."""
    if not settings.metrics_port:
        yield
        return
    worker.measures.watch(worker)
    depths = Depths(service, settings, database, queues)
    with answering(settings):
        depths.start()
        try:
            yield
        finally:
            depths.close()


def run_worker(
    service: Service,
    settings: Settings,
    database: Database,
    broker: Broker,
    heartbeat: Path | None = None,
    queues: Queues | None = None,
) -> int:
    """Run one worker on this thread until SIGTERM or SIGINT; the exit code is 1 when it had to give up."""
    worker = build_worker(service, settings, database, broker, pace_from(settings))
    stop = threading.Event()

    def end(signal_number: int, frame: Any) -> None:
        end_in_time()
        stop.set()
        worker.wake()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, end)
    ended = threading.Event()
    watch(f"{service.name} worker", worker.alive, ended)
    notifier = Notifier(database)
    notifier.listen(worker.wake)
    places = address(settings.broker_url), address(settings.database_url)
    log.info("%s worker %d starts: %s, %s", service.name, os.getpid(), *places)
    try:
        with collecting_seldom(), measured(service, settings, database, worker, queues):
            worker.run(stop, on_turn=heartbeat.touch if heartbeat else lambda: None)
    except Stop as error:
        log.critical("%s worker stops: %s", service.name, error)
        return 1
    finally:
        ended.set()
        notifier.close()
        database.dispose()
    log.info("%s worker %d has stopped", service.name, os.getpid())
    return 0
