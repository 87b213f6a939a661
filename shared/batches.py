"""A batch as a table: one JSON parameter that PostgreSQL and SQLite both read, from one SQLAlchemy expression."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import CTE, ColumnClause, ColumnElement, String, bindparam, column, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine


class json_rows(FunctionElement[Any]):  # noqa: N801 - named as an SQL function is
    """The objects of a JSON array as rows; `wanted` are their columns. PostgreSQL reads each object once."""

    inherit_cache = True
    name = "json_rows"

    def __init__(self, array: ColumnElement[str], wanted: Sequence[ColumnClause[Any]]) -> None:
        super().__init__(array)
        self.wanted = wanted


@compiles(json_rows, "postgresql")
def _postgresql(element: json_rows, compiler: SQLCompiler, **kw: Any) -> str:
    types = compiler.dialect.type_compiler_instance
    columns = ", ".join(f"{compiler.preparer.quote(c.name)} {types.process(c.type)}" for c in element.wanted)
    array = compiler.process(element.clauses, **kw)
    return f"(SELECT * FROM json_to_recordset(CAST({array} AS json)) AS r ({columns}))"  # noqa: S608 - names from code


@compiles(json_rows, "sqlite")
def _sqlite(element: json_rows, compiler: SQLCompiler, **kw: Any) -> str:
    types, quote = compiler.dialect.type_compiler_instance, compiler.preparer.quote
    columns = ", ".join(
        f"CAST(value ->> '{c.name}' AS {types.process(c.type)}) AS {quote(c.name)}" for c in element.wanted
    )
    return f"(SELECT {columns} FROM json_each({compiler.process(element.clauses, **kw)}))"  # noqa: S608


def batch_rows(name: str, /, **types: TypeEngine[Any] | type[TypeEngine[Any]]) -> CTE:
    """A common table expression over the parameter `name`, a JSON array of objects, with one typed column per keyword.

    A statement built on it is constant, and costs one round trip for any number of rows on either database. A value
    that is an array or an object itself is read as its JSON text, unchanged, into a column of text.
    """
    columns = [column(key, type_) for key, type_ in types.items()]
    rows = json_rows(bindparam(name, type_=String), columns).table_valued(*columns, name=f"{name}_json")
    return select(*rows.c).cte(name)


def as_json(rows: Sequence[Any]) -> str:
    """The parameter that `batch_rows` reads: rows as mappings of column to plain value, times made text by `moment`."""
    return msgspec.json.encode(rows).decode()
