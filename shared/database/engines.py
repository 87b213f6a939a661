"""SQLAlchemy's engines for SQLite and PostgreSQL, with the settings that this project relies on."""

import math
import sqlite3
import threading
import time
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from shared.database.errors import NoAnswer, NoTimeLeft, SilentServer, StalePlan, translated
from shared.database.postgresql_connection import TimedConnection, options
from shared.database.resolving import resolved
from shared.database.timeouts import Timeouts, time_left


class DisposablePool(QueuePool):
    """A pool that is empty for good once it was disposed of: what comes back to it later is closed."""

    def __init__(self, *given: Any, **named: Any) -> None:
        self._returning = threading.RLock()  # the garbage collector may return a connection at any time
        self._disposed = False
        super().__init__(*given, **named)

    def dispose(self) -> None:
        with self._returning:
            self._disposed = True
            super().dispose()

    def recreate(self) -> "DisposablePool":
        pool = super().recreate()
        assert isinstance(pool, DisposablePool)
        pool._disposed = self._disposed
        return pool

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        with self._returning:
            if self._disposed:
                record.close()
            super()._do_return_conn(record)


def sqlite_engine(url: str, timeouts: Timeouts) -> Engine:
    in_a_file = bool(make_url(url).database)  # else it would be gone with its connection
    engine = create_engine(url, hide_parameters=True, poolclass=DisposablePool if in_a_file else None)

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy, not sqlite3, emits BEGIN
        _use_write_ahead_log(connection, timeouts.lock)
        for pragma in (
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={int(timeouts.lock * 1000)}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A deferred transaction that turns from reading to writing fails at once when another one wrote meanwhile.
        options = connection.get_execution_options()
        if options.get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN" if options.get("read_only") else "BEGIN IMMEDIATE")

    _translate_errors(engine)
    return engine


def _use_write_ahead_log(connection: Any, timeout: float) -> None:
    """Switch to write-ahead logging. Of several who open a new database at once SQLite lets one do so, and does not let
    the others wait."""
    until = time.monotonic() + timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.005)


def _test_idle_connections(engine: Engine, idle: float) -> None:
    """A connection that lay `idle` for so many seconds is tested before it is used: the server may have been
    restarted meanwhile."""

    @event.listens_for(engine, "checkin")
    def _checkin(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["idle_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _checkout(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("idle_since", math.inf) > idle:
            try:
                engine.dialect.do_ping(connection)
            except SilentServer:  # a new connection would hear nothing either
                raise
            except Exception as error:
                raise DisconnectionError from error


def check_connection(connection: Connection) -> None:
    """Ask the server for nothing; a connection that it does not know any more is replaced by its next use. Raises
    NoAnswer."""
    try:
        driver = connection.connection.dbapi_connection  # tried through its proxy, it would be left in a transaction
        assert driver
        connection.dialect.do_ping(driver)
    except Exception as error:
        connection.invalidate(error)
        if isinstance(error, SilentServer):
            raise NoAnswer(str(error)) from error


def _translate_errors(engine: Engine) -> None:
    """Raise what `translated` says, as the executors of batches do, also within a savepoint."""

    @event.listens_for(engine, "handle_error")
    def _handle_error(context: ExceptionContext) -> BaseException | None:
        ours = translated(context.original_exception, lost=context.is_disconnect)
        if isinstance(ours, StalePlan):
            context.is_disconnect = True  # what else was prepared before the migration goes, too
        return ours


def _limit_waiting(engine: Engine, timeouts: Timeouts) -> None:
    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, given: Any, named: Any) -> TimedConnection:
        seconds = time_left(timeouts.connect)
        if seconds < timeouts.connect - timeouts.connection:
            raise NoTimeLeft("no time is left for a new connection")
        return TimedConnection.opened(*given, answer_timeout=timeouts.answer, **resolved(named, seconds))


def postgresql_engine(url: str, pool_size: int, timeouts: Timeouts, idle: float) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,  # logs must not tell tokens and addresses
        poolclass=DisposablePool,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=timeouts.connection,
        connect_args={
            "connect_timeout": max(2, math.ceil(timeouts.connect)),  # libpq takes no less
            "options": options(timeouts),
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "tcp_user_timeout": 30_000,
        },
    )
    _limit_waiting(engine, timeouts)
    _test_idle_connections(engine, idle)
    _translate_errors(engine)
    return engine
