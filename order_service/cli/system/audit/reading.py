"""How the auditor reads a database: one consistent look, tables by name, sides of an account compared as a set."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Select, Table, func, literal, select, union_all

from shared.database import Database
from shared.database.postgresql_connection import BY_KEY
from shared.service import services

OrderId = str


@dataclass(frozen=True)
class Violation:
    """Something that does not add up: in whose books, about which order or product, and what."""

    where: str
    about: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.about}: {self.what}"


@contextmanager
def snapshot(database: Database) -> Iterator[Connection]:
    """Reads that see the database as it was at one moment."""
    options = {"isolation_level": "REPEATABLE READ"} if database.is_postgresql else {"read_only": True}
    with database.engine.connect().execution_options(**options) as connection, connection.begin():
        if database.is_postgresql:  # an audit reads whole tables, as no service does
            for name in BY_KEY:
                connection.exec_driver_sql(f"SET LOCAL {name} = on")
        yield connection


def table(service: str, name: str) -> Table:
    """A table of a service, which is found by entry point."""
    return services()[service].metadata.tables[name]


def outside_books(service: str) -> Table:
    """The books that the outside world keeps of what this service asked it."""
    tables = services()[service].metadata.tables
    return tables[next(name for name in tables if name.endswith("_books"))]


def side(source: FromClause, *keys: ColumnElement[Any], ours: Any = 0, theirs: Any = 0) -> Select[Any]:
    """One side of a comparison: keys, and an amount in one of two columns."""
    named = [key.label(f"key{number}") for number, key in enumerate(keys)]
    amounts = [part if hasattr(part, "label") else literal(part) for part in (ours, theirs)]
    return select(*named, amounts[0].label("ours"), amounts[1].label("theirs")).select_from(source)


def unequal(connection: Connection, *sides: Select[Any]) -> Sequence[tuple[Any, ...]]:
    """(keys…, ours, theirs) wherever the sums of both sides differ; who does not know a key has 0 there."""
    both = union_all(*sides).subquery()
    keys = [column for column in both.c if column.name.startswith("key")]
    ours, theirs = func.sum(both.c.ours), func.sum(both.c.theirs)
    found = connection.execute(select(*keys, ours, theirs).group_by(*keys).having(ours != theirs).order_by(*keys))
    return [tuple(row) for row in found]


def totals(connection: Connection, key: ColumnElement[Any], amount: ColumnElement[Any]) -> dict[str, int]:
    """The sum of an amount by key."""
    return {str(name): int(total) for name, total in connection.execute(select(key, func.sum(amount)).group_by(key))}
