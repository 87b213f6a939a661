"""A service's database: transactions, batches of constant statements, and reads."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

import psycopg
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.pool import QueuePool

from shared.database.engines import check_connection, postgresql_engine, sqlite_engine
from shared.database.errors import TransientError, translated
from shared.database.postgresql import pipelined_transaction
from shared.database.sqlite import sqlite_transaction
from shared.database.statements import BatchTransaction
from shared.database.timeouts import CircuitBreaker, Timeouts, time_left


class Database:
    """A service's database: transactions, and reads that take no write lock. `with` disposes of it in the end.

    Whatever the database does not do is raised as a DatabaseError; after a TransientError nothing is done.
    """

    def __init__(self, url: str, *, pool_size: int = 10, timeouts: Timeouts | None = None, idle: float = 1.0) -> None:
        """`url` as SQLAlchemy reads it. A connection that lay `idle` for so many seconds is tested before use."""
        self.url, self._idle, self._timeouts = url, idle, timeouts or Timeouts()
        if url.startswith("sqlite"):
            self.engine = sqlite_engine(url, self._timeouts)
        else:
            self.engine = postgresql_engine(url, pool_size, self._timeouts, idle)
        self._breaker = CircuitBreaker()
        self._writing = threading.Lock()
        self._own = threading.local()
        self._reader = self.engine.execution_options(read_only=True)
        if self.is_postgresql:
            self._reader = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @property
    def is_postgresql(self) -> bool:
        return self.engine.dialect.name == "postgresql"

    def connections(self) -> tuple[int, int]:
        """How many are in use, and how many lie idle in the pool."""
        pool = self.engine.pool
        return (pool.checkedout(), pool.checkedin()) if isinstance(pool, QueuePool) else (0, 0)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """All or nothing: commits when the block ends, rolls back when it raises. Any statements, one at a time."""
        with self._breaker.watching(), self._one_writer(), _connected(self.engine) as connection, connection.begin():
            yield connection

    @contextmanager
    def batch(self, *, autocommit: bool = False) -> Iterator[BatchTransaction]:
        """A transaction of constant statements, in as few round trips as can be.

        The calling thread keeps a connection of its own for all its batches, until it ends: call this in the few
        threads that live long. The batch belongs to that thread, which begins no other meanwhile (RuntimeError).
        With `autocommit`, for one statement alone, the commit takes no round trip of its own.
        """
        with self._breaker.watching():
            own = self._own_connection()
            if self.is_postgresql:
                with pipelined_transaction(own, self._timeouts.answer, autocommit=autocommit) as batch:
                    yield batch
            else:
                with self._one_writer(), sqlite_transaction(own) as transaction:
                    yield transaction

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """For single reads: takes no write lock on SQLite, needs no BEGIN on PostgreSQL."""
        with self._breaker.watching(), _connected(self._reader) as connection:
            yield connection

    @contextmanager
    def reading_batch(self) -> Iterator[BatchTransaction]:
        """Like `reading`, for constant statements that are sent together. Otherwise like `batch`."""
        with self._breaker.watching():
            own = self._own_connection()
            if self.is_postgresql:
                with pipelined_transaction(own, self._timeouts.answer, autocommit=True) as batch:
                    yield batch
            else:
                with sqlite_transaction(own, reading=True) as transaction:
                    yield transaction

    def check(self) -> None:
        """Raise UnsuitableServer where one answers; a database that is away may well be suitable when it is back."""
        with suppress(TransientError), self.reading():
            pass

    def dispose(self) -> None:
        """Close all connections; those that are in use, or are opened later, when they are returned."""
        self._own = threading.local()  # a thread in a batch holds on to its connection until that ends
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.dispose()

    @contextmanager
    def _one_writer(self) -> Iterator[None]:
        """SQLite has one writer at a time, and others sleep for up to 0.1 s before they look again whether it is done.
        So the threads of a process wait for each other here; one that waits in vain is told so by SQLite."""
        came = not self.is_postgresql and self._writing.acquire(timeout=self._timeouts.lock)
        try:
            yield
        finally:
            if came:
                self._writing.release()

    def _own_connection(self) -> Connection:
        """The one that this thread keeps: to take one from the pool costs more than a small batch."""
        own = self._own  # `dispose` may put another one there meanwhile
        connection: Connection | None = getattr(own, "connection", None)
        if connection is None or connection.closed:
            own.connection = connection = _connected(self.engine)
        elif self.is_postgresql and time.monotonic() - own.used_at > self._idle:
            check_connection(connection)
        own.used_at = time.monotonic()
        return connection


def _connected(engine: Engine) -> Connection:
    if engine.dialect.name == "postgresql":
        time_left(math.inf)  # the deadline of a request counts from here on
    try:
        return engine.connect()
    except PoolExhausted as error:
        raise TransientError("all connections are in use") from error
    except psycopg.Error as error:  # of the test of an idle one
        raise translated(error) or error from error
