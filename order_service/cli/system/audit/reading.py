"""How the auditor reads a database: page by page, each a consistent look, with tables found by their service."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, select, true

from shared.bootstrap import open_database
from shared.database import Database, Timeouts
from shared.database.postgresql_connection import BY_KEY
from shared.service import services

OrderId = str
PATIENT = Timeouts(statement=1_800.0, answer=1_830.0)  # one statement over a table of many millions
Databases = Mapping[str, Database]  # of all services, by name


@dataclass(frozen=True)
class Span:
    """The ids behind `behind` up to `last`; None is the end of them all. With `only`, none but these."""

    behind: str | None = None
    last: str | None = None
    only: Collection[str] | None = None

    def holds(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        """The condition that a column's id is among them."""
        if self.only is not None:
            return column.in_(self.only)
        condition = true() if self.behind is None else column > self.behind
        return condition if self.last is None else condition & (column <= self.last)


@contextmanager
def open_databases(template: str) -> Iterator[Databases]:
    """The databases of all services; `{service}` in the URL stands for each one's name."""
    urls = {name: template.replace("{service}", name) for name in services()}
    settings = {name: services()[name].settings(environ={}, database_url=url) for name, url in urls.items()}
    with ExitStack() as stack:
        yield {name: stack.enter_context(open_database(given, PATIENT)) for name, given in settings.items()}


@contextmanager
def snapshot(database: Database) -> Iterator[Connection]:
    """Reads that see the database as it was at one moment, and lock nothing."""
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


def rows_of(
    connection: Connection, about: Table, span: Span, *conditions: ColumnElement[bool]
) -> Sequence[dict[str, Any]]:
    """The rows of a table about the orders of this span."""
    return rows(connection, select(about).where(span.holds(about.c.order_id), *conditions))


def rows(connection: Connection, statement: Any) -> Sequence[dict[str, Any]]:
    """All rows of a statement."""
    return [dict(row) for row in connection.execute(statement).mappings()]
