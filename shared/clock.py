"""The one door to time. Everything that asks what time it is is given one of these."""

from datetime import UTC, datetime
from typing import Protocol

from sqlalchemy import Connection, text


class Clock(Protocol):
    def now(self, connection: Connection) -> datetime:
        """The moment, UTC-aware; `connection` is the transaction in which it will be used."""


class SystemClock:
    """This machine's clock."""

    def now(self, connection: Connection) -> datetime:
        return datetime.now(UTC)


class DatabaseClock:
    """The database server's clock, so that workers on several machines agree. On SQLite that is this machine's."""

    def now(self, connection: Connection) -> datetime:
        if connection.dialect.name == "sqlite":
            return datetime.now(UTC)
        moment: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        return moment.astimezone(UTC)
