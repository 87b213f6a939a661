"""A service's database: transactions, batches of constant statements, and reads."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from sqlalchemy import Connection

from shared.database.engines import postgresql_engine, sqlite_engine, try_again
from shared.database.errors import translating_changed_rows
from shared.database.postgresql import pipelined
from shared.database.sqlite import direct
from shared.database.statements import Transaction


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
        with self._taking_turns(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def batch(self, *, autocommit: bool = False) -> Iterator[Transaction]:
        """A transaction of constant statements, in as few round trips as can be. Raises as `transaction` does.

        With `autocommit`, for one statement alone, the commit takes no round trip of its own.
        """
        mine = self._own_connection()
        worked = pipelined(mine, autocommit=autocommit) if self.is_postgresql else direct(mine)
        with translating_changed_rows(), self._taking_turns(), worked as transaction:
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
