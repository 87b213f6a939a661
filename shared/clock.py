"""The one door to time. Everything that asks what time it is is given one of these."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from sqlalchemy import Connection, text

TRUSTED = 1.0  # seconds


class Clock(Protocol):
    def now(self, connection: Connection) -> datetime:
        """The moment, UTC-aware; `connection` is the transaction in which it will be used."""


class SystemClock:
    """This machine's clock."""

    def now(self, connection: Connection) -> datetime:
        return datetime.now(UTC)


class DatabaseClock:
    """The database server's clock, so that workers on several machines agree. On SQLite that is this machine's.

    The server is asked about once a second; in between its answer is carried on by the monotonic clock, which no change
    of the time of day disturbs.
    """

    def __init__(self) -> None:
        self._server, self._here = datetime.min.replace(tzinfo=UTC), -TRUSTED

    def now(self, connection: Connection) -> datetime:
        if connection.dialect.name == "sqlite":
            return datetime.now(UTC)
        if time.monotonic() - self._here >= TRUSTED:
            server: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
            self._server, self._here = server.astimezone(UTC), time.monotonic()
        return self._server + timedelta(seconds=time.monotonic() - self._here)
