"""The ports that services are given in a simulation: the real ones, where the world may strike at every boundary."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

import sqlalchemy

from shared.database import BatchTransaction, Database, Transaction, TransientError
from shared.messaging.broker import ConnectionLost, Delivery, Settled
from shared.messaging.brokers.embedded import Embedded, EmbeddedConnection
from shared.messaging.envelope import Envelope
from shared.migrate import migrate
from shared.service import services
from tests.simulation.weather import Point, Strike

if TYPE_CHECKING:
    from tests.simulation.world import World

BEGINNING = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Crash(BaseException):
    """The process is gone: no handler of an exception sees it."""


class VirtualClock:
    """The world's time, as a service's clock shows it: `skew` seconds off."""

    def __init__(self, world: "World", skew: float = 0.0) -> None:
        self.world, self.skew = world, skew

    def now(self, connection: Transaction) -> datetime:
        return BEGINNING + timedelta(seconds=self.world.seconds + self.skew)

    def seconds(self, text: str) -> float:
        """The world's time when this clock shows what is in a column."""
        return (datetime.fromisoformat(text) - BEGINNING).total_seconds() - self.skew


class StruckDatabase(Database):
    """A service's database in memory, migrated and seeded once; each world begins with a fresh copy.

    The engine is the same for all worlds of a process, with its compiled statements.
    """

    world: "World"

    def __init__(self, service: str) -> None:
        super().__init__("sqlite://")
        self.unstruck = _Unstruck(self)
        migrate(services()[service], self.unstruck)
        self.raw: sqlite3.Connection = self._raw()
        self._template = sqlite3.connect(":memory:")
        self.raw.backup(self._template)

    def reset(self, world: "World") -> None:
        """Forget all that happened, and belong to this world."""
        self.world = world
        self._template.backup(self.raw)

    def _raw(self) -> sqlite3.Connection:
        with self.engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert isinstance(raw, sqlite3.Connection)
            return raw

    @contextmanager
    def transaction(self) -> Iterator[sqlalchemy.Connection]:
        with self._struck(), super().transaction() as connection:
            yield connection
            _strike(self.world, Point.BEFORE_COMMIT)

    @contextmanager
    def batch(self, *, autocommit: bool = False) -> Iterator[BatchTransaction]:
        with self._struck(), super().batch(autocommit=autocommit) as transaction:
            yield transaction
            _strike(self.world, Point.BEFORE_COMMIT)

    @contextmanager
    def _struck(self) -> Iterator[None]:
        _strike(self.world, Point.BEFORE_TRANSACTION)
        yield
        _strike(self.world, Point.AFTER_COMMIT)


class _Unstruck(Database):
    """The same database, where nothing goes wrong."""

    def __init__(self, database: Database) -> None:
        vars(self).update(vars(database))


@cache
def database(service: str) -> StruckDatabase:
    """The one of this process."""
    return StruckDatabase(service)


def _strike(world: "World", point: Point) -> None:
    if world.strike(point) is Strike.AWAY:
        raise TransientError(f"the simulated database is away {point}")


class StruckBroker:
    """The embedded broker, to one process of a service."""

    def __init__(self, world: "World", broker: Embedded) -> None:
        self.world, self.broker = world, broker

    def connect(self, service: str) -> "StruckConnection":
        if self.world.seconds < self.world.broker_away_until:
            raise ConnectionLost("the broker is away")
        return StruckConnection(self.world, self.broker.connect(service))


class StruckConnection:
    """A connection whose owner may be struck before and after whatever it says."""

    def __init__(self, world: "World", connection: EmbeddedConnection) -> None:
        self.world, self.connection = world, connection
        self.wake, self.prefetch, self.close = connection.wake, connection.prefetch, connection.close

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        taken = self.connection.take(limit, timeout)
        if taken:
            self.world.tell("takes", [each.envelope for each in taken])
        return taken

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self.world.strike(Point.BEFORE_ACK)
        self.connection.acknowledge(deliveries)
        self.world.strike(Point.AFTER_ACK)

    def publish(self, envelopes: Sequence[Envelope]) -> None:
        half = len(envelopes) // 2
        for part in (envelopes[:half], envelopes[half:]):
            if part:
                self.world.strike(Point.BEFORE_PUBLISH)
                self.world.tell("publishes", part)
                self.connection.publish(part)
        if envelopes:
            self.world.strike(Point.AFTER_PUBLISH)

    def settled(self) -> Settled:
        return self.connection.settled()
