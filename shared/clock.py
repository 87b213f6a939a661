"""The one door to time. Everything that asks what time it is is given one of these."""

import time
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

from sqlalchemy import text

from shared.database import Transaction

TRUSTED = 1.0  # seconds
_ASK = text("SELECT clock_timestamp()")


def today() -> date:
    """This machine's day, in UTC: for what people give a last day."""
    return datetime.now(UTC).date()


class Clock(Protocol):
    def now(self, connection: Transaction) -> datetime:
        """The time, UTC-aware; `connection` is the transaction in which it will be used."""


class SystemClock:
    """This machine's clock. What is kept in a database is told by the database's own: there is one for each."""

    def now(self, connection: Transaction) -> datetime:
        return datetime.now(UTC)


class DatabaseClock:
    """The database server's clock, so that workers on several machines agree. On SQLite that is this machine's.

    The server is asked about once a second; in between its answer is carried on by the monotonic clock, which no change
    of the time of day disturbs.
    """

    def __init__(self) -> None:
        self._asked = datetime.min.replace(tzinfo=UTC), -TRUSTED  # the answer, and the monotonic time when it came

    def now(self, connection: Transaction) -> datetime:
        if connection.dialect.name == "sqlite":
            return datetime.now(UTC)
        server, here = self._asked  # both at once: other threads ask too
        if time.monotonic() - here >= TRUSTED:
            told: datetime = connection.execute(_ASK).scalar_one()
            self._asked = server, here = told.astimezone(UTC), time.monotonic()
        return server + timedelta(seconds=time.monotonic() - here)
