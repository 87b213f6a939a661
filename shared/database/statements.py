"""Constant statements: what a batch executes, whichever executor carries it out, and what it gets back.

A statement is built once, at the top of a module or with its table, and is then executed any number of times. A
statement built for each call would be compiled each time, and PostgreSQL would keep each different text prepared for
as long as the connection lasts.
"""

import logging
import threading
from abc import ABC, abstractmethod
from collections import Counter, namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import cache, lru_cache
from itertools import count
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Dialect
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

from shared.database.errors import TransientError, ValueRefused
from shared.database.rowsets import JsonRows
from shared.database.types import Json, as_json, timestamp

log = logging.getLogger("fulfillment.statements")

Parameters = Mapping[str, Any]
NOTHING: Parameters = {}
MOST_TEXTS = 300  # on one connection; a worker of the largest service has about fifty
MOST_OBJECTS = 8  # of one text: two modules may build the same statement, a function that builds it each time goes on
_numbers = count(1)


class NotConstant(TransientError):
    """A statement is built anew for each call. That is a defect of the program and of no message: the connection is
    closed, with all that it had prepared, and the next transaction begins on a new one."""


class Transaction(Protocol):
    """What a store needs: a batch's executor, or SQLAlchemy's Connection."""

    @property
    def dialect(self) -> Dialect: ...

    def execute(self, statement: Any, parameters: Any = ..., /) -> Any:
        """Rows to iterate, `.all()`, `.mappings()`, `.scalar_one()`. In a batch on PostgreSQL they are read later:
        reading the first waits for the server, and an error of any statement up to here is raised there, or by the
        end of the batch. Read results after the last statement that does not depend on them."""


class BatchTransaction(Transaction, Protocol):
    """A transaction of constant statements, which are sent together."""

    def savepoint(self) -> AbstractContextManager[None]:
        """What the block does is undone when it raises, and the transaction goes on; errors of its statements are
        raised in it. Costs two round trips."""


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
    """A statement as a database reads it, with its parameters in order: name, default, and how to write it."""

    sql: str
    number: int  # no other statement has it
    parameters: Sequence[tuple[str, Any, Callable[[Any], Any]]]

    def bind(self, given: Parameters) -> list[Any]:
        """The values in order: None, bool, int, float, str or bytes. Raises ValueRefused for what is none of them."""
        return [write(given.get(name, default)) for name, default, write in self.parameters]


@lru_cache(maxsize=2048)
def compiled(statement: ClauseElement, given: tuple[str, ...], dialect: Dialect) -> Compiled:
    """Each constant statement is compiled once, for the names of the parameters that it is `given`."""
    done = statement.compile(dialect=dialect, column_keys=given or None)
    assert isinstance(done, SQLCompiler)
    names = done.positiontup or ()
    writers = [_writer(done.binds[name].type, dialect) for name in names]
    return Compiled(
        done.string,
        next(_numbers),
        [(name, done.params[name], writer) for name, writer in zip(names, writers, strict=True)],
    )


class Known:
    """The statements that one connection has executed, and by which name each text is `prepared` there."""

    def __init__(self) -> None:
        self.prepared: set[bytes] = set()
        self._names: dict[int, bytes] = {}
        self._texts: dict[str, bytes] = {}
        self._objects = Counter[str]()

    def name(self, ready: Compiled) -> bytes:
        """The same for all statements of one text. Raises NotConstant."""
        return self._names.get(ready.number) or self._new(ready)

    def _new(self, ready: Compiled) -> bytes:
        self._objects[ready.sql] += 1
        name = self._texts.setdefault(ready.sql, b"fulfillment_%d" % ready.number)
        if self._objects[ready.sql] > MOST_OBJECTS or len(self._texts) > MOST_TEXTS:
            raise NotConstant(f"this statement, or one like it, is built anew for each call: {ready.sql[:200]}")
        self._names[ready.number] = name
        return name


class ThisThread:
    """The thread that a transaction belongs to."""

    def __init__(self) -> None:
        self._number = threading.get_ident()

    def check(self) -> None:
        """Raise RuntimeError in any other thread: it may be in a transaction of its own on this very connection."""
        if threading.get_ident() != self._number:
            raise RuntimeError("a batch belongs to the thread that began it")


def _writer(type_: Any, dialect: Dialect) -> Callable[[Any], Any]:
    """How to write a parameter, by the type that its statement gives it."""
    if isinstance(type_, JsonRows):
        rows = type_
        return lambda value: rows.process_bind_param(value, dialect)
    return as_json if isinstance(type_, Json) else _plain


def _plain(value: Any) -> Any:
    match value:
        case None | str() | bool() | int() | float() | bytes():
            return value
        case datetime():
            return timestamp(value)
    raise ValueRefused(f"no type of a parameter: {type(value).__name__}")


@cache
def _row_type(names: tuple[str, ...]) -> Any:
    return namedtuple("Row", names, rename=True)
