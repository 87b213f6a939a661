"""SQLAlchemy's engines for SQLite and PostgreSQL, with the settings that this project relies on."""

import math
import sqlite3
import threading
import time
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DisconnectionError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from shared.database.errors import rows_changed

# A plan that is made while a table is small, and kept, must not read the whole of it when it has grown.
BY_KEY = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "jit": "off"}

LANGUAGE = {"datestyle": "ISO", "timezone": "UTC", "client_encoding": "UTF8"}  # whatever the server's own is


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


def sqlite_engine(url: str, lock_timeout: float) -> Engine:
    in_a_file = bool(make_url(url).database)  # else it would be gone with its connection
    engine = create_engine(url, hide_parameters=True, poolclass=DisposablePool if in_a_file else None)

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy, not sqlite3, emits BEGIN
        _keep_a_log(connection, lock_timeout)
        for pragma in (
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

    _translate_errors(engine)
    return engine


def _keep_a_log(connection: Any, patience: float) -> None:
    """Switch to write-ahead logging. Of several who open a new database at once SQLite lets one do so, and does not let
    the others wait."""
    until = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.005)


def _keep_fresh(engine: Engine, idle: float) -> None:
    """A connection that lay idle is tried before it is used: the server may have been restarted meanwhile."""

    @event.listens_for(engine, "checkin")
    def _checkin(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["idle_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _checkout(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("idle_since", math.inf) > idle:
            try:
                engine.dialect.do_ping(connection)
            except Exception as error:
                raise DisconnectionError from error


def try_again(connection: Connection) -> None:
    """Ask the server for nothing; a connection that it does not know any more is replaced by its next use."""
    try:
        driver = connection.connection.dbapi_connection  # tried through its proxy, it would be left in a transaction
        assert driver
        connection.dialect.do_ping(driver)
    except Exception as error:
        connection.invalidate(error)


def _translate_errors(engine: Engine) -> None:
    """Raise what a batch raises: RowsChanged, also within a savepoint; and OperationalError for a session that the
    server ended because its transaction slept."""

    @event.listens_for(engine, "handle_error")
    def _handle_error(context: ExceptionContext) -> BaseException | None:
        error = context.sqlalchemy_exception
        if error and (changed := rows_changed(error)):
            return changed
        if not context.is_disconnect or isinstance(error, OperationalError):
            return None
        return OperationalError(context.statement, None, context.original_exception, hide_parameters=True)


def postgresql_engine(url: str, pool_size: int, lock_timeout: float, statement_timeout: float, idle: float) -> Engine:
    milliseconds = {
        "lock_timeout": lock_timeout,
        "statement_timeout": statement_timeout,
        "idle_in_transaction_session_timeout": 15.0,  # a stopped process must not keep its row locks
    }
    settings = {name: str(int(seconds * 1000)) for name, seconds in milliseconds.items()} | BY_KEY | LANGUAGE
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    engine = create_engine(
        url,
        hide_parameters=True,  # logs must not tell tokens and addresses
        poolclass=DisposablePool,
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
    _keep_fresh(engine, idle)
    _translate_errors(engine)
    return engine
