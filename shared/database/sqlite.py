"""The executor for SQLite: constant statements, compiled once by SQLAlchemy and handed straight to the driver."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.selectable import ReturnsRows

from shared.database.errors import DatabaseError, translated
from shared.database.statements import NOTHING, Known, NotConstant, Parameters, Rows, ThisThread, compiled, log

Reader = Callable[[Any], Any]


class FetchedRows(Rows):
    """Rows that are here already, and how to read their columns."""

    def __init__(self, names: tuple[str, ...], readers: Sequence[tuple[int, Reader]], rows: Iterable[Any]) -> None:
        self._names, self._readers, self._rows = names, readers, rows

    def values(self) -> tuple[tuple[str, ...], Iterable[tuple[Any, ...]]]:
        return self._names, map(self._read, self._rows) if self._readers else self._rows

    def _read(self, row: Sequence[Any]) -> tuple[Any, ...]:
        read = list(row)
        for column, reader in self._readers:
            read[column] = reader(read[column])
        return tuple(read)


class SqliteTransaction:
    """One transaction on a connection that is in no other. As on PostgreSQL, nothing is done after a statement that
    failed: its error is raised again."""

    dialect: Dialect = SQLiteDialect_pysqlite()

    def __init__(self, connection: sqlite3.Connection, known: Known) -> None:
        self._connection, self._known, self._thread = connection, known, ThisThread()
        self._failed: DatabaseError | None = None

    def execute(self, statement: ClauseElement, parameters: Parameters | Sequence[Parameters] = NOTHING) -> Rows:
        """Carry out a constant statement; once for each set of parameters, when there are several."""
        if not isinstance(parameters, Mapping):
            return [self.execute(statement, each) for each in parameters][-1]
        ready = compiled(statement, tuple(parameters), self.dialect)
        self._known.name(ready)
        log.debug("%s", ready.sql)
        names, rows = self.run(ready.sql, ready.bind(parameters))
        return FetchedRows(names, _readers(statement), rows)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """See BatchTransaction."""
        self.run("SAVEPOINT one")
        try:
            yield
            self.check()
        except BaseException:
            self._failed = None
            self.run("ROLLBACK TO one")
            self.run("RELEASE one")
            raise
        self.run("RELEASE one")

    def check(self) -> None:
        """Raise the error that this transaction has failed with."""
        if self._failed:
            raise self._failed

    def end(self) -> None:
        """Forget the error: through its traceback it would keep the connection for longer than its thread lives."""
        self._failed = None

    def run(self, sql: str, values: Sequence[Any] = ()) -> tuple[tuple[str, ...], list[Any]]:
        """Carry out a statement as SQLite reads it; returns the names of its columns, and the rows."""
        self._thread.check()
        self.check()
        try:
            found = self._connection.execute(sql, values)
            return tuple(column[0] for column in found.description or ()), found.fetchall()
        except (sqlite3.Error, UnicodeEncodeError, OverflowError) as error:
            self._failed = translated(error)
            assert self._failed
            raise self._failed from error


@contextmanager
def sqlite_transaction(connection: Connection, *, reading: bool = False) -> Iterator[SqliteTransaction]:
    """A transaction on a connection of SQLAlchemy's that is in none; one that is `reading` keeps nothing."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    if driver.in_transaction:
        raise RuntimeError("this thread is in a batch already")
    transaction = SqliteTransaction(driver, connection.info.setdefault("known", Known()))
    transaction.run("BEGIN" if reading else "BEGIN IMMEDIATE")
    try:
        yield transaction
        transaction.run("ROLLBACK" if reading else "COMMIT")
    except BaseException as error:
        try:
            if driver.in_transaction:
                driver.execute("ROLLBACK")
        except sqlite3.Error as worse:
            connection.invalidate(worse)
            raise translated(worse) or worse from error
        if isinstance(error, NotConstant):
            connection.invalidate(error)
        raise
    finally:
        transaction.end()


@lru_cache(maxsize=2048)
def _readers(statement: ClauseElement) -> list[tuple[int, Reader]]:
    """How to read those of a statement's columns that SQLite keeps as something else."""
    columns = list(statement.exported_columns) if isinstance(statement, ReturnsRows) else []
    dialect = SqliteTransaction.dialect
    readers = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
    return [(number, reader) for number, reader in enumerate(readers) if reader]
