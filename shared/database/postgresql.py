"""PostgreSQL's pipeline: a transaction's statements travel together, and only a result that is read is waited for.

Each statement is compiled by SQLAlchemy and prepared by the server once for a connection; then it is sent by libpq's
pipeline mode. A transaction takes one round trip for each question that its author waits for, and one for the commit.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from select import POLLIN, POLLOUT, poll
from typing import Any

import msgspec
import psycopg
from psycopg import errors
from psycopg.pq import ConnStatus, ExecStatus, PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult
from sqlalchemy import Connection, Dialect
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.sql import ClauseElement

from shared.database.statements import NOTHING, Parameters, Rows, compiled, log
from shared.database.types import timestamp

# By the server's numbers of types: bool, int8, int2, int4, json, float8, timestamptz, jsonb. Others are read as text.
_READERS: Mapping[int, Any] = {
    16: "t".__eq__,
    **dict.fromkeys((20, 21, 23), int),
    **dict.fromkeys((114, 3802), msgspec.json.decode),
    701: float,
    1184: lambda value: datetime.fromisoformat(value).astimezone(UTC),
}


class ComingRows(Rows):
    """What a statement returns. Reading it waits for the answer, and sends what was not sent before."""

    def __init__(self, pipeline: "Pipeline") -> None:
        self._pipeline = pipeline
        self.result: PGresult | None = None

    def values(self) -> tuple[tuple[str, ...], Iterable[tuple[Any, ...]]]:
        result = self.result or self._pipeline.wait_for(self)
        columns = range(result.nfields)
        names = tuple((result.fname(column) or b"").decode() for column in columns)
        readers = [_READERS.get(result.ftype(column), str) for column in columns]
        get = result.get_value

        def values(row: int) -> tuple[Any, ...]:
            raw = [get(row, column) for column in columns]
            return tuple(None if v is None else read(v.decode()) for v, read in zip(raw, readers, strict=True))

        return names, map(values, range(result.ntuples))


class Pipeline:
    """One transaction on a connection that is in no other, and whose `prepared` statements are remembered with it.

    Nothing is waited for until a result is read or `commit` is called: an error is raised there, whichever statement it
    came from, and nothing behind that one is done. With `autocommit`, what is sent together commits by itself, without
    a round trip for that. Raises psycopg's errors, and what `timestamp` raises.
    """

    dialect: Dialect = PGDialect_psycopg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]

    def __init__(self, connection: PGconn, prepared: set[bytes], *, autocommit: bool = False) -> None:
        self._connection, self._prepared, self._autocommit = connection, prepared, autocommit
        self._expected: deque[ComingRows | bytes | None] = deque()  # of statements, of preparing one, of a sync
        self._unsent = False
        self._poll = poll()
        self._poll.register(connection.socket, POLLIN)
        if connection.pipeline_status != PipelineStatus.OFF:
            raise psycopg.ProgrammingError("this thread is in a batch already")
        connection.enter_pipeline_mode()
        if not autocommit:
            self._send(b"BEGIN")

    def execute(self, statement: ClauseElement, parameters: Parameters | Sequence[Parameters] = NOTHING) -> Rows:
        """Send a constant statement; once for each set of parameters, when there are several."""
        if not isinstance(parameters, Mapping):
            return [self.execute(statement, each) for each in parameters][-1]
        ready = compiled(statement, tuple(parameters), self.dialect)
        log.debug("%s", ready.sql)
        values, name = list(map(_as_text, ready.bind(parameters))), b"fulfillment_%d" % ready.number
        if name not in self._prepared and name not in self._expected:
            self._connection.send_prepare(name, ready.sql.encode())
            self._expected.append(name)
        self._connection.send_query_prepared(name, values)
        self._expected.append(rows := ComingRows(self))
        return rows

    def wait_for(self, rows: ComingRows) -> PGresult:
        """The answer to a statement, after those to all before it."""
        if rows.result is None and self._autocommit:
            self._finish()
        elif rows.result is None:
            self._connection.send_flush_request()
            self._unsent = True
        while rows.result is None:
            self._receive()
        return rows.result

    def commit(self) -> None:
        """Send what is left, and COMMIT; returns when the server has kept it all."""
        if not self._autocommit:
            self._send(b"COMMIT")
        if self._expected:
            self._finish()
        self._connection.exit_pipeline_mode()

    def rollback(self) -> None:
        """Undo everything, and forget what was not answered. Raises when the connection is lost."""
        if None not in self._expected:
            self._sync()
        while self._expected:
            try:
                self._receive()
            except psycopg.Error:
                if self._connection.status != ConnStatus.OK:
                    raise
        if self._connection.transaction_status != TransactionStatus.IDLE:
            self._send(b"ROLLBACK")
            self._finish()
        self._connection.exit_pipeline_mode()

    def _send(self, command: bytes) -> None:
        self._connection.send_query_params(command, None)
        self._expected.append(ComingRows(self))

    def _finish(self) -> None:
        self._sync()
        while self._expected:
            self._receive()

    def _sync(self) -> None:
        self._connection.pipeline_sync()
        self._expected.append(None)
        self._unsent = True

    def _receive(self) -> None:
        answered = self._expected.popleft()
        result = self._next_result()
        if result.status in (ExecStatus.FATAL_ERROR, ExecStatus.PIPELINE_ABORTED):
            raise errors.error_from_result(result)
        if isinstance(answered, ComingRows):
            answered.result = result
        elif answered is not None:
            self._prepared.add(answered)

    def _next_result(self) -> PGresult:
        ended = 0
        while ended < 2:  # one end is between the results of two statements
            if self._unsent:
                self._unsent = bool(self._connection.flush())
            if self._connection.is_busy():
                self._poll.modify(self._connection.socket, POLLIN | POLLOUT if self._unsent else POLLIN)
                if any(happened & ~POLLOUT for _, happened in self._poll.poll()):
                    self._connection.consume_input()
            elif result := self._connection.get_result():
                return result
            else:
                ended += 1
        raise psycopg.OperationalError("the connection has no more answers")


@contextmanager
def pipelined(connection: Connection, *, autocommit: bool = False) -> Iterator[Pipeline]:
    """A transaction of its own on a connection of SQLAlchemy's that is in none. Raises as SQLAlchemy does."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    try:
        pipeline = Pipeline(driver.pgconn, connection.info.setdefault("prepared", set()), autocommit=autocommit)
        try:
            yield pipeline
            pipeline.commit()
        except BaseException:
            try:
                pipeline.rollback()
            except BaseException as error:
                connection.invalidate(error)
                raise
            raise
    except psycopg.Error as error:
        if connection.invalidated:  # of what breaks off without a code psycopg tells no more than that it is an error
            raise OperationalError(None, None, error, hide_parameters=True, connection_invalidated=True) from error
        raise DBAPIError.instance(None, None, error, psycopg.Error, hide_parameters=True) from error


def _as_text(value: Any) -> bytes | None:
    """A parameter as the server reads it."""
    match value:
        case None:
            return None
        case str():
            text = value.encode()
        case bytes():
            return b"\\x" + value.hex().encode()
        case datetime():
            text = timestamp(value).encode()
        case bool() | int() | float():
            text = str(value).encode()
        case _:
            text = msgspec.json.encode(value)
    if b"\0" in text:
        raise psycopg.DataError("no text of PostgreSQL takes a NUL")
    return text
