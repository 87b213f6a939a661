"""One database per service: engines for SQLite and PostgreSQL, and the column types both share."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Connection,
    Dialect,
    Engine,
    Integer,
    MetaData,
    String,
    Text,
    create_engine,
    event,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator, TypeEngine

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


# A plan that is made while a table is small, and kept, must not read the whole of it when it has grown.
BY_KEY = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "jit": "off"}
LOCK_NOT_AVAILABLE, UNDEFINED_TABLE = "55P03", "42P01"  # PostgreSQL's codes
IDLE = 1.0  # seconds after which a pooled connection is tried before use


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

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a naive time would be ambiguous: {value!r}")
        return value.astimezone(UTC) if dialect.name == "postgresql" else moment(value)

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


@lru_cache(maxsize=64)  # a batch says the same moment hundreds of times
def is_lock_timeout(error: BaseException) -> bool:
    """Whether PostgreSQL gave up waiting because another transaction held a lock for too long."""
    return isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE


def not_migrated(error: DBAPIError) -> bool:
    """Whether the database was reached, and has no such table yet."""
    return getattr(error.orig, "sqlstate", "") == UNDEFINED_TABLE or str(error.orig).startswith("no such table")


def moment(at: datetime) -> str:
    """An aware time as text of fixed width in UTC, so that texts sort as the times do."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


class Database:
    """A service's database: transactions, and reads that take no write lock."""

    def __init__(
        self, url: str, *, pool_size: int = 10, lock_timeout: float = 2.0, statement_timeout: float = 30.0
    ) -> None:
        """`url` as SQLAlchemy reads it; timeouts in seconds."""
        self.url = url
        if url.startswith("sqlite"):
            self.engine = _sqlite_engine(url, lock_timeout)
        else:
            self.engine = _postgresql_engine(url, pool_size, lock_timeout, statement_timeout)
        self._reader = self.engine.execution_options(read_only=True)
        if self.is_postgresql:
            self._reader = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @property
    def is_postgresql(self) -> bool:
        return self.engine.dialect.name == "postgresql"

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """All or nothing: commits when the block ends, rolls back when it raises."""
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """For single reads: takes no write lock on SQLite, needs no BEGIN on PostgreSQL."""
        with self._reader.connect() as connection:
            yield connection

    def dispose(self) -> None:
        self.engine.dispose()


def _sqlite_engine(url: str, lock_timeout: float) -> Engine:
    engine = create_engine(url, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy, not sqlite3, emits BEGIN
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={int(lock_timeout * 1000)}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A deferred transaction that turns from reading to writing fails at once when another one wrote meanwhile.
        options = connection.get_execution_options()
        if options.get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN" if options.get("read_only") else "BEGIN IMMEDIATE")

    return engine


def _keep_fresh(engine: Engine) -> None:
    """A connection that lay idle is tried before it is used: the server may have been restarted meanwhile."""

    @event.listens_for(engine, "checkin")
    def _checkin(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["idle_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _checkout(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("idle_since", math.inf) > IDLE:
            try:
                engine.dialect.do_ping(connection)
            except Exception as error:
                raise DisconnectionError from error


def _call_losses_by_one_name(engine: Engine) -> None:
    """A session that the server ended because its transaction slept is lost like any other connection."""

    @event.listens_for(engine, "handle_error")
    def _handle_error(context: ExceptionContext) -> BaseException | None:
        error = context.sqlalchemy_exception
        if not context.is_disconnect or isinstance(error, OperationalError):
            return None
        return OperationalError(context.statement, None, context.original_exception, hide_parameters=True)


def _postgresql_engine(url: str, pool_size: int, lock_timeout: float, statement_timeout: float) -> Engine:
    milliseconds = {
        "lock_timeout": lock_timeout,
        "statement_timeout": statement_timeout,
        "idle_in_transaction_session_timeout": 15.0,  # a stopped process must not keep its row locks
    }
    settings = {name: str(int(seconds * 1000)) for name, seconds in milliseconds.items()} | BY_KEY
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    engine = create_engine(
        url,
        hide_parameters=True,  # logs must not tell tokens and addresses
        pool_size=pool_size,
        max_overflow=pool_size,
        connect_args={
            "connect_timeout": 5,
            "options": options,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "tcp_user_timeout": 30_000,
        },
    )
    _keep_fresh(engine)
    _call_losses_by_one_name(engine)
    return engine
