"""SQLite without detours: constant statements, compiled once by SQLAlchemy and handed straight to the driver."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Connection, Dialect
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.selectable import ReturnsRows

from shared.database.statements import NOTHING, Parameters, Rows, compiled, log
from shared.database.types import timestamp

Reader = Callable[[Any], Any]


class FoundRows(Rows):
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


class Direct:
    """One transaction on a connection that is in no other. Raises the driver's errors, and what `timestamp` raises."""

    dialect: Dialect = SQLiteDialect_pysqlite()

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, statement: ClauseElement, parameters: Parameters | Sequence[Parameters] = NOTHING) -> Rows:
        """Carry out a constant statement; once for each set of parameters, when there are several."""
        if not isinstance(parameters, Mapping):
            return [self.execute(statement, each) for each in parameters][-1]
        ready = compiled(statement, tuple(parameters), self.dialect)
        log.debug("%s", ready.sql)
        found = self._connection.execute(ready.sql, [_as_value(each) for each in ready.bind(parameters)])
        names = tuple(column[0] for column in found.description or ())
        return FoundRows(names, _readers(statement), found.fetchall())


@contextmanager
def direct(connection: Connection, *, reading: bool = False) -> Iterator[Direct]:
    """A transaction on a connection of SQLAlchemy's that is in none; one that is `reading` keeps nothing. Raises as
    SQLAlchemy does."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    try:
        begin, end = ("BEGIN", "ROLLBACK") if reading else ("BEGIN IMMEDIATE", "COMMIT")
        driver.execute(begin)
        try:
            yield Direct(driver)
            driver.execute(end)
        except BaseException:
            try:
                if driver.in_transaction:
                    driver.execute("ROLLBACK")
            except sqlite3.Error as error:
                connection.invalidate(error)
                raise
            raise
    except sqlite3.Error as error:
        raise DBAPIError.instance(None, None, error, sqlite3.Error, hide_parameters=True) from error


@lru_cache(maxsize=2048)
def _readers(statement: ClauseElement) -> list[tuple[int, Reader]]:
    """How to read those of a statement's columns that SQLite keeps as something else."""
    columns = list(statement.exported_columns) if isinstance(statement, ReturnsRows) else []
    readers = [column.type.dialect_impl(Direct.dialect).result_processor(Direct.dialect, None) for column in columns]
    return [(number, reader) for number, reader in enumerate(readers) if reader]


def _as_value(value: Any) -> Any:
    """A parameter as SQLite keeps it."""
    match value:
        case datetime():
            return timestamp(value)
        case dict() | list() | tuple():
            return msgspec.json.encode(value).decode()
    return value
