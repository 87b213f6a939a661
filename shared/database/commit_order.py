"""Rows in the order in which their transactions were committed, so that a reader who goes on from one misses none."""

from typing import Any

from sqlalchemy import BigInteger, Column, ColumnElement, Connection, literal_column, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

_OLDEST_OPEN = literal_column("CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)", BigInteger)
_NEXT = literal_column("CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)", BigInteger)


class transaction_number(FunctionElement[int]):  # noqa: N801 - named as an SQL function is
    """The number of this transaction, to be kept in `column`: the same for all rows of one statement, and growing.

    PostgreSQL numbers transactions as they begin to write. On SQLite, which has one writer at a time, it is the number
    that follows the last one in the column.
    """

    inherit_cache = True
    name = "transaction_number"
    type = BigInteger()

    def __init__(self, column: Column[int]) -> None:
        super().__init__(literal_column(f"{column.table.name}.{column.name}"))  # by name: it is not read from


@compiles(transaction_number, "postgresql")
def _postgresql(element: transaction_number, compiler: SQLCompiler, **kw: Any) -> str:
    return "CAST(CAST(pg_current_xact_id() AS text) AS bigint)"


@compiles(transaction_number, "sqlite")
def _sqlite(element: transaction_number, compiler: SQLCompiler, **kw: Any) -> str:
    named: Any = next(iter(element.clauses))
    table, _, column = named.name.partition(".")
    return f"(SELECT coalesce(max({column}), 0) + 1 FROM {table})"  # noqa: S608 - names from code


def closed(connection: Connection, column: ColumnElement[int]) -> ColumnElement[bool]:
    """Rows whose number no other transaction can still come before: on PostgreSQL a transaction with a lesser number
    may commit later."""
    return column < _OLDEST_OPEN if connection.dialect.name == "postgresql" else column.is_not(None)


def newest(connection: Connection, column: ColumnElement[int]) -> int:
    """The number behind which a reader goes on who wants to know of nothing that was committed before."""
    if connection.dialect.name == "postgresql":
        return int(connection.execute(select(_OLDEST_OPEN - 1)).scalar_one())
    found: Any = select(column).order_by(column.desc()).limit(1)
    return int(connection.execute(found).scalar() or 0)


def is_known(connection: Connection, column: ColumnElement[int], number: int) -> bool:
    """Whether a transaction can have this number: one from another database, or from before it was restored, cannot."""
    if connection.dialect.name == "postgresql":
        return number < int(connection.execute(select(_NEXT)).scalar_one())
    return number <= newest(connection, column)
