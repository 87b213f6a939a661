"""The one door to time. Everything that asks what time it is is given one of these."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple, Protocol

from sqlalchemy import text

from shared.database import Transaction

log = logging.getLogger("fulfillment.process")

TRUSTED = 1.0  # seconds
JUMP = timedelta(minutes=1)  # by less a clock is merely set, or late in answering
_ASK = text("SELECT clock_timestamp()")


def today() -> date:
    """This machine's day, in UTC: for what people give a last day."""
    return datetime.now(UTC).date()


def machine_now() -> datetime:
    """This machine's time, in UTC: for what is only shown."""
    return datetime.now(UTC)


class Clock(Protocol):
    def now(self, connection: Transaction) -> datetime:
        """The time, UTC-aware; `connection` is the transaction in which it will be used."""


class SystemClock:
    """This machine's clock. What is kept in a database is told by the database's own: there is one for each."""

    def now(self, connection: Transaction) -> datetime:
        return datetime.now(UTC)


class Jump(NamedTuple):
    """A clock went ahead at once, from `at`, by so much."""

    at: datetime
    by: timedelta


class DatabaseClock:
    """The database server's clock, so that workers on several machines agree. On SQLite that is this machine's.

    The server is asked about once a second; in between its answer is carried on by the monotonic clock, which no change
    of the time of day disturbs. `jump` is the last time that the server's went ahead otherwise, until it goes back.
    """

    jump: Jump | None = None

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._asked: tuple[datetime, float] | None = None  # the answer, and the monotonic time when it came

    def now(self, connection: Transaction) -> datetime:
        asked = self._asked  # both at once: other threads ask too
        if asked is None or self._monotonic() - asked[1] >= TRUSTED:
            told = _told_by(connection)
            if asked:
                self._notice(self._carried_on(asked), told)
            self._asked = asked = told, self._monotonic()
        if connection.dialect.name == "sqlite":
            return datetime.now(UTC)
        return self._carried_on(asked)

    def _carried_on(self, asked: tuple[datetime, float]) -> datetime:
        server, here = asked
        return server + timedelta(seconds=self._monotonic() - here)

    def _notice(self, expected: datetime, told: datetime) -> None:
        if abs(told - expected) < JUMP:
            return
        log.warning("the database's clock jumped from %s to %s", expected, told)
        self.jump = Jump(expected, told - expected) if told > expected else None


def jump_of(clock: Clock) -> Jump | None:
    """How it jumped ahead, if it is one that can."""
    return clock.jump if isinstance(clock, DatabaseClock) else None


def _told_by(connection: Transaction) -> datetime:
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    told: datetime = connection.execute(_ASK).scalar_one()
    return told.astimezone(UTC)
