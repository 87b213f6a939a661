"""A batch as a table: one JSON parameter that PostgreSQL and SQLite both read, from one SQLAlchemy expression."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy import CTE, ColumnClause, Dialect, String, bindparam, column, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine


class JsonRows(TypeDecorator[Sequence[Mapping[str, Any]]]):
    """Rows as one JSON text: objects for PostgreSQL, which reads each once. SQLite would look for every column by its
    name: for it they are arrays of values in the order of `names`, or plain values when that is a single one."""

    impl = String
    cache_ok = True

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.names = names
        self._values = itemgetter(*names)

    def process_bind_param(self, value: Sequence[Mapping[str, Any]] | None, dialect: Dialect) -> str:
        rows = value or ()
        return msgspec.json.encode(rows if dialect.name == "postgresql" else list(map(self._values, rows))).decode()


class json_rows(FunctionElement[Any]):  # noqa: N801 - named as an SQL function is
    """The rows in a parameter of type JsonRows; `wanted` are their columns."""

    inherit_cache = True
    name = "json_rows"

    def __init__(self, parameter: str, wanted: Sequence[ColumnClause[Any]]) -> None:
        super().__init__(bindparam(parameter, type_=JsonRows(tuple(each.name for each in wanted))))
        self.wanted = wanted


@compiles(json_rows, "postgresql")
def _postgresql(element: json_rows, compiler: SQLCompiler, **kw: Any) -> str:
    types = compiler.dialect.type_compiler_instance
    columns = ", ".join(f"{compiler.preparer.quote(c.name)} {types.process(c.type)}" for c in element.wanted)
    array = compiler.process(element.clauses, **kw)
    return f"(SELECT * FROM json_to_recordset(CAST({array} AS json)) AS r ({columns}))"  # noqa: S608 - names from code


@compiles(json_rows, "sqlite")
def _sqlite(element: json_rows, compiler: SQLCompiler, **kw: Any) -> str:
    names = [compiler.preparer.quote(c.name) for c in element.wanted]
    values = [f"value ->> '$[{place}]'" for place in range(len(names))] if len(names) > 1 else ["value"]
    columns = ", ".join(f"{value} AS {name}" for value, name in zip(values, names, strict=True))
    return f"(SELECT {columns} FROM json_each({compiler.process(element.clauses, **kw)}))"  # noqa: S608


def batch_rows(name: str, /, **types: TypeEngine[Any] | type[TypeEngine[Any]]) -> CTE:
    """A common table expression over the parameter `name`, with one typed column per keyword.

    The parameter is a sequence of mappings of each column to its plain value, times made text by `timestamp`.
    A statement built on it is constant, and costs one round trip for any number of rows on either database. A value
    that is an array or an object itself is read as its JSON text, unchanged, into a column of text.
    """
    columns = [column(key, type_) for key, type_ in types.items()]
    rows = json_rows(name, columns).table_valued(*columns, name=f"{name}_json")
    return select(*rows.c).cte(name)
