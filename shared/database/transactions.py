"""One database per service: engines for SQLite and PostgreSQL, and the column types both share."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Self

import msgspec
from sqlalchemy import (
    BigInteger,
    Connection,
    Dialect,
    Integer,
    MetaData,
    String,
    Text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.types import TypeDecorator, TypeEngine

from shared.database.engines import postgresql_engine, sqlite_engine, try_again
from shared.database.postgresql import pipelined
from shared.database.sqlite import direct
from shared.database.statements import Transaction
from shared.database.timestamps import moment

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


LOCK_NOT_AVAILABLE, UNDEFINED_TABLE = "55P03", "42P01"  # PostgreSQL's codes


def metadata() -> MetaData:
    """Tables of one service, with predictable constraint names."""
    return MetaData(naming_convention=NAMES)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC moment: timestamptz on PostgreSQL, sortable ISO text on SQLite. Naive values are refused."""

    impl = String(32)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(
            postgresql.TIMESTAMP(timezone=True) if dialect.name == "postgresql" else String(32)
        )

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        return None if value is None else moment(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)


class Id(TypeDecorator[str]):
    """A UUID as its 36-character text, stored in 16 bytes where the database can."""

    impl = String(36)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(postgresql.UUID(as_uuid=False) if dialect.name == "postgresql" else String(36))


class Json(TypeDecorator[Any]):
    """A JSON value: jsonb on PostgreSQL, text on SQLite; in `batches` it is given as it is."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(postgresql.JSONB() if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return value if dialect.name == "postgresql" else msgspec.json.encode(value).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return value if dialect.name == "postgresql" or value is None else msgspec.json.decode(value)


BigInt = BigInteger().with_variant(Integer(), "sqlite")


class RowsChanged(Exception):
    """Rows that were read are not as they were: somebody else wrote them, so what was decided must be decided again."""


def is_lock_timeout(error: BaseException) -> bool:
    """Whether PostgreSQL gave up waiting because another transaction held a lock for too long."""
    return isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE


@contextmanager
def _telling_of_changed_rows() -> Iterator[None]:
    """Who writes a version that does not follow the one that is there writes NULL, which its column refuses."""
    try:
        yield
    except IntegrityError as error:
        column = getattr(getattr(error.orig, "diag", None), "column_name", None)
        if column == "version" or re.fullmatch(r"NOT NULL constraint failed: \w+\.version", str(error.orig)):
            raise RowsChanged("somebody else wrote rows that were read") from error
        raise


def not_migrated(error: DBAPIError) -> bool:
    """Whether the database was reached, and has no such table yet."""
    return getattr(error.orig, "sqlstate", "") == UNDEFINED_TABLE or str(error.orig).startswith("no such table")


class Database:
    """A service's database: transactions, and reads that take no write lock. `with` disposes of it in the end."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 10,
        lock_timeout: float = 2.0,
        statement_timeout: float = 30.0,
        idle: float = 1.0,
    ) -> None:
        """`url` as SQLAlchemy reads it; timeouts in seconds. A connection that lay `idle` is tried before use."""
        self.url, self._idle, self._patience = url, idle, lock_timeout
        if url.startswith("sqlite"):
            self.engine = sqlite_engine(url, lock_timeout)
        else:
            self.engine = postgresql_engine(url, pool_size, lock_timeout, statement_timeout, idle)
        self._turn = threading.Lock()
        self._mine = threading.local()
        self._reader = self.engine.execution_options(read_only=True)
        if self.is_postgresql:
            self._reader = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @property
    def is_postgresql(self) -> bool:
        return self.engine.dialect.name == "postgresql"

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """All or nothing: commits when the block ends, rolls back when it raises. Raises RowsChanged."""
        with _telling_of_changed_rows(), self._taking_turns(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def batch(self, *, autocommit: bool = False) -> Iterator[Transaction]:
        """A transaction of constant statements, in as few round trips as can be. Raises as `transaction` does.

        With `autocommit`, for one statement alone, the commit takes no round trip of its own.
        """
        mine = self._own_connection()
        worked = pipelined(mine, autocommit=autocommit) if self.is_postgresql else direct(mine)
        with _telling_of_changed_rows(), self._taking_turns(), worked as transaction:
            yield transaction

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """For single reads: takes no write lock on SQLite, needs no BEGIN on PostgreSQL."""
        with self._reader.connect() as connection:
            yield connection

    @contextmanager
    def reading_batch(self) -> Iterator[Transaction]:
        """Like `reading`, for constant statements that are sent together."""
        mine = self._own_connection()
        with pipelined(mine, autocommit=True) if self.is_postgresql else direct(mine, reading=True) as transaction:
            yield transaction

    def dispose(self) -> None:
        """Close all connections; those that are in use, or are opened later, when they are returned."""
        self._mine = threading.local()  # a thread in a batch holds on to its connection until that ends
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.dispose()

    @contextmanager
    def _taking_turns(self) -> Iterator[None]:
        """SQLite has one writer at a time, and others sleep for up to 0.1 s before they look again whether it is done.
        So the threads of a process wait for each other here; one that waits in vain is told so by SQLite."""
        came = not self.is_postgresql and self._turn.acquire(timeout=self._patience)
        try:
            yield
        finally:
            if came:
                self._turn.release()

    def _own_connection(self) -> Connection:
        """The one that this thread keeps: to take one from the pool costs more than a small batch."""
        mine = self._mine  # `dispose` may put another one there meanwhile
        connection: Connection | None = getattr(mine, "connection", None)
        if connection is None or connection.closed:
            mine.connection = connection = self.engine.connect()
        elif self.is_postgresql and time.monotonic() - mine.used_at > self._idle:
            try_again(connection)
        mine.used_at = time.monotonic()
        return connection
