"""How deep the queues are: measured every few seconds by one thread of a worker, whoever asks for metrics meanwhile."""

import logging
import math
import threading
from collections.abc import Mapping, Sequence
from typing import Protocol

from sqlalchemy import Connection

from shared import metrics
from shared.config import Settings
from shared.database import Database, DatabaseError
from shared.logs import Interruption
from shared.messaging.broker import ConnectionLost
from shared.service import Service

log = logging.getLogger("fulfillment.metrics")

EVERY = 15.0  # seconds
MOST_UNPUBLISHED = 100_000
MOST_LETTERS = 10_000


class Queues(Protocol):
    """The queues of one service at the broker."""

    @property
    def names(self) -> Sequence[str]: ...

    def read(self) -> Mapping[str, int]:
        """How many messages wait at each; raises ConnectionLost."""

    def close(self) -> None:
        """May be called twice; never raises."""


class Depths:
    """Measures what waits at one service: in its database and, where `queues` are given, at the broker."""

    def __init__(self, service: Service, settings: Settings, database: Database, queues: Queues | None) -> None:
        self._service, self._settings, self._database, self._queues = service, settings, database, queues
        self._closed = threading.Event()
        self._interruption = Interruption(log, "the depths of the tables cannot be measured")
        self._thread = threading.Thread(target=self._run, name="depths", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End the thread; it may take as long as the database takes to answer, and is waited for two seconds."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def measure(self) -> None:
        """Set the gauges. Raises DatabaseError; a broker that is away is a value."""
        self._measure_queues()
        with self._database.reading() as connection:
            self._measure_tables(connection)
        metrics.MEASURED.labels(self._service.name).set_to_current_time()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self.measure()
                self._interruption.over()
            except DatabaseError as error:
                self._interruption.hit(error)
            self._closed.wait(EVERY)
        if self._queues:
            self._queues.close()

    def _measure_tables(self, connection: Connection) -> None:
        name, tables = self._service.name, self._service.tables
        now = self._service.clock.now(connection)
        number, oldest = tables.outbox.depth(connection, MOST_UNPUBLISHED)
        metrics.OUTBOX.labels(name).set(number)
        metrics.OUTBOX_AGE.labels(name).set(max(0.0, (now - oldest).total_seconds()) if oldest else 0.0)
        metrics.PARKED_LETTERS.labels(name).set(tables.dead_letters.count_parked(connection, MOST_LETTERS))
        self._service.measure(self._settings, connection, now)

    def _measure_queues(self) -> None:
        if self._queues is None:
            return
        try:
            found: Mapping[str, float] = self._queues.read()
        except ConnectionLost:  # its worker says so
            found = dict.fromkeys(self._queues.names, math.nan)
        for queue, number in found.items():
            metrics.QUEUE.labels(self._service.name, queue).set(number)
