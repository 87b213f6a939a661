"""The executor for PostgreSQL: a transaction's statements travel together, only results that are read are waited for.

Each statement is compiled by SQLAlchemy and prepared by the server once for a connection; then it is sent by libpq's
pipeline mode. A transaction takes one round trip for each question that its author waits for, and one for the commit.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from select import POLLIN, POLLOUT, poll
from typing import Any, NoReturn

import psycopg
from psycopg import errors
from psycopg.pq import ConnStatus, ExecStatus, PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult
from sqlalchemy import Connection, Dialect
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql import ClauseElement

from shared.database.errors import DatabaseError, NoTimeLeft, SilentServer, StalePlan, TransientError, translated
from shared.database.postgresql_values import as_text, reader
from shared.database.statements import NOTHING, Known, NotConstant, Parameters, Rows, ThisThread, compiled, log
from shared.database.timeouts import heard, time_left


class PendingRows(Rows):
    """What a statement returns. Reading it waits for the answer, and sends what was not sent before."""

    def __init__(self, transaction: "PipelinedTransaction") -> None:
        self._transaction = transaction
        self.result: PGresult | None = None

    def values(self) -> tuple[tuple[str, ...], Iterable[tuple[Any, ...]]]:
        result = self.result or self._transaction.wait_for(self)
        columns = range(result.nfields)
        names = tuple((result.fname(column) or b"").decode() for column in columns)
        readers = [reader(result.ftype(column), name) for column, name in enumerate(names)]
        get = result.get_value

        def values(row: int) -> tuple[Any, ...]:
            raw = [get(row, column) for column in columns]
            return tuple(None if v is None else read(v.decode()) for v, read in zip(raw, readers, strict=True))

        return names, map(values, range(result.ntuples))


class PipelinedTransaction:
    """One transaction on a connection that is in no other.

    Nothing is waited for until a result is read, a savepoint ends or `commit` is called: an error is raised there,
    whichever statement it came from, and nothing behind that one is done. With `autocommit`, what is sent together
    commits by itself, without a round trip for that. A server that says nothing for `patience` seconds is lost.
    """

    dialect: Dialect = PGDialect_psycopg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]

    def __init__(self, connection: PGconn, known: Known, patience: float, *, autocommit: bool = False) -> None:
        if connection.pipeline_status != PipelineStatus.OFF:
            raise RuntimeError("this thread is in a batch already")
        self._connection, self._known, self._patience, self._autocommit = connection, known, patience, autocommit
        self._expected: deque[PendingRows | bytes | None] = deque()  # of statements, of preparing one, of a sync
        self._thread = ThisThread()
        self._failed: DatabaseError | None = None
        self._unsent = False
        self._poll = poll()
        self._poll.register(connection.socket, POLLIN)
        self._lost = False

    def begin(self) -> None:
        """Come first; sends nothing yet."""
        with self._translating():
            self._connection.enter_pipeline_mode()
        if not self._autocommit:
            self._send(b"BEGIN")

    def execute(self, statement: ClauseElement, parameters: Parameters | Sequence[Parameters] = NOTHING) -> Rows:
        """Send a constant statement; once for each set of parameters, when there are several."""
        if not isinstance(parameters, Mapping):
            return [self.execute(statement, each) for each in parameters][-1]
        self._thread.check()
        ready = compiled(statement, tuple(parameters), self.dialect)
        values, name = list(map(as_text, ready.bind(parameters))), self._known.name(ready)
        log.debug("%s", ready.sql)
        with self._translating():
            if name not in self._known.prepared and name not in self._expected:
                self._connection.send_prepare(name, ready.sql.encode())
                self._expected.append(name)
            self._connection.send_query_prepared(name, values)
        self._expected.append(rows := PendingRows(self))
        return rows

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """See BatchTransaction."""
        if self._autocommit:
            raise RuntimeError("what commits by itself has no savepoints")
        self._finish()  # what fails before is no fault of the block
        self._send(b"SAVEPOINT one")
        try:
            yield
            self._finish()
        except BaseException:
            self._drain()
            self._send(b"ROLLBACK TO one")
            self._send(b"RELEASE one")
            self._failed = None
            raise
        self._send(b"RELEASE one")

    def wait_for(self, rows: PendingRows) -> PGresult:
        """The answer to a statement, after those to all before it."""
        self._thread.check()
        if rows.result is None and self._autocommit:
            self._finish()
        elif rows.result is None:
            with self._translating():
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
        if self._failed:
            raise self._failed  # a block that went on as if nothing had happened
        self._connection.exit_pipeline_mode()

    def rollback(self) -> None:
        """Undo everything, and forget what was not answered. Raises when the connection is lost."""
        if self._lost:
            assert self._failed
            raise self._failed
        self._drain()
        if self._connection.transaction_status != TransactionStatus.IDLE:
            self._send(b"ROLLBACK")
            self._finish()
        self._connection.exit_pipeline_mode()

    def end(self) -> None:
        """Forget the error: through its traceback it would keep the connection for longer than its thread lives."""
        self._failed = None

    def _send(self, command: bytes) -> None:
        with self._translating():
            self._connection.send_query_params(command, None)
        self._expected.append(PendingRows(self))

    def _finish(self) -> None:
        self._sync()
        while self._expected:
            self._receive()

    def _drain(self) -> None:
        """Read and forget what was not answered. Raises when the connection is lost."""
        if None not in self._expected:
            self._sync()
        while self._expected:
            try:
                self._receive()
            except DatabaseError:
                if self._lost:
                    raise

    def _sync(self) -> None:
        with self._translating():
            self._connection.pipeline_sync()
        self._expected.append(None)
        self._unsent = True

    def _receive(self) -> None:
        answered = self._expected.popleft()
        with self._translating():
            result = self._await_result()
        if result.status == ExecStatus.FATAL_ERROR:
            self._fail(errors.error_from_result(result), lost=self._connection.status != ConnStatus.OK)
        if result.status == ExecStatus.PIPELINE_ABORTED:
            raise self._failed or TransientError("the pipeline was aborted")
        if isinstance(answered, PendingRows):
            answered.result = result
        elif answered is not None:
            self._known.prepared.add(answered)

    def _fail(self, error: psycopg.Error, *, lost: bool) -> NoReturn:
        if lost or not self._failed:
            self._failed, self._lost = translated(error, lost=lost), lost
        assert self._failed
        raise self._failed from error

    @contextmanager
    def _translating(self) -> Iterator[None]:
        """What libpq itself cannot do, it cannot do because the connection is lost."""
        try:
            yield
        except psycopg.Error as error:
            self._fail(error, lost=True)

    def _await_result(self) -> PGresult:
        ended = 0
        until = time.monotonic() + (seconds := time_left(self._patience))
        while ended < 2:  # one end is between the results of two statements
            if self._unsent:
                self._unsent = bool(self._connection.flush())
            if self._connection.is_busy():
                self._poll.modify(self._connection.socket, POLLIN | POLLOUT if self._unsent else POLLIN)
                happened = self._poll.poll(max(0.0, until - time.monotonic()) * 1000)
                if any(what & ~POLLOUT for _, what in happened):
                    self._connection.consume_input()
                if happened:
                    until = time.monotonic() + (seconds := self._patience)
                elif time.monotonic() >= until:
                    kind = SilentServer if seconds == self._patience else NoTimeLeft
                    raise kind(f"no answer from the server for {seconds:.1f} s")
            elif result := self._connection.get_result():
                heard()
                return result
            else:
                ended += 1
        raise psycopg.OperationalError("the connection has no more answers")


@contextmanager
def pipelined_transaction(
    connection: Connection, patience: float, *, autocommit: bool = False
) -> Iterator[PipelinedTransaction]:
    """A transaction of its own on a connection of SQLAlchemy's that is in none. The connection is closed after an error
    that a new one would not have."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    known = connection.info.setdefault("known", Known())
    transaction = PipelinedTransaction(driver.pgconn, known, patience, autocommit=autocommit)
    try:
        transaction.begin()
        yield transaction
        transaction.commit()
    except BaseException as error:
        try:
            transaction.rollback()
        except BaseException as worse:
            connection.invalidate(worse)
            raise
        if isinstance(error, StalePlan | NotConstant):
            connection.invalidate(error)
        raise
    finally:
        transaction.end()
