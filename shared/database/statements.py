"""Constant statements: what works a batch, whatever carries it out, and what it gets back."""

import logging
from abc import ABC, abstractmethod
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import count
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Dialect
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

from shared.database.rowsets import JsonRows

log = logging.getLogger("fulfillment.statements")

Parameters = Mapping[str, Any]
NOTHING: Parameters = {}
_numbers = count(1)


class Transaction(Protocol):
    """What works a batch: SQLAlchemy's Connection, or something that does the same in fewer steps."""

    @property
    def dialect(self) -> Dialect: ...

    def execute(self, statement: Any, parameters: Any = ..., /) -> Any:
        """Rows to iterate, `.all()`, `.mappings()`, `.scalar_one()`; an error may show only when something is read."""


class Rows(ABC):
    """What a statement returns, when it is asked for."""

    @abstractmethod
    def values(self) -> tuple[tuple[str, ...], Iterable[tuple[Any, ...]]]:
        """The names of the columns, and the rows."""

    def all(self) -> list[Any]:
        """The rows, as named tuples."""
        names, rows = self.values()
        return list(map(_row_type(names)._make, rows))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.all())

    def mappings(self) -> list[Mapping[str, Any]]:
        names, rows = self.values()
        return [dict(zip(names, row, strict=True)) for row in rows]

    def scalar_one(self) -> Any:
        """The only value there is."""
        ((value,),) = self.values()[1]
        return value


class Compiled(NamedTuple):
    """A statement as a database reads it, with its parameters in order: name, default, and how to write rows."""

    sql: str
    number: int  # no other statement has it
    parameters: Sequence[tuple[str, Any, Callable[[Any], Any] | None]]

    def bind(self, given: Parameters) -> list[Any]:
        return [write(given[name]) if write else given.get(name, default) for name, default, write in self.parameters]


@lru_cache(maxsize=2048)
def compiled(statement: ClauseElement, given: tuple[str, ...], dialect: Dialect) -> Compiled:
    """Each constant statement is compiled once, for the names of the parameters that it is `given`."""
    done = statement.compile(dialect=dialect, column_keys=given or None)
    assert isinstance(done, SQLCompiler)
    names = done.positiontup or ()
    types = {name: done.binds[name].type for name in names}
    rows = {name: type_.bind_processor(dialect) for name, type_ in types.items() if isinstance(type_, JsonRows)}
    return Compiled(done.string, next(_numbers), [(name, done.params[name], rows.get(name)) for name in names])


@cache
def _row_type(names: tuple[str, ...]) -> Any:
    return namedtuple("Row", names, rename=True)
