"""Connections to PostgreSQL: the settings of their sessions, and how long an answer is waited for."""

import math
from typing import Any, Self

import psycopg
from psycopg.pq import TransactionStatus

from shared.database.errors import NoTimeLeft, SilentServer, UnsuitableServer
from shared.database.timeouts import Timeouts, heard, time_left

# A plan that is made while a table is small, and kept, must not read the whole of it when it has grown.
BY_KEY = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "jit": "off"}

LANGUAGE = {  # whatever the server's own is
    "datestyle": "ISO",
    "timezone": "UTC",
    "client_encoding": "UTF8",
    "bytea_output": "hex",
    "extra_float_digits": "1",
}


def options(timeouts: Timeouts) -> str:
    """The settings of a session, as they are sent when it begins."""
    milliseconds = {
        "lock_timeout": timeouts.lock,
        "statement_timeout": timeouts.statement,
        "idle_in_transaction_session_timeout": 15.0,  # a stopped process must not keep its row locks
    }
    settings = {name: str(int(seconds * 1000)) for name, seconds in milliseconds.items()} | BY_KEY | LANGUAGE
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


class TimedConnection(psycopg.Connection[Any]):
    """A connection to PostgreSQL that is closed when the server says nothing for `answer_timeout` seconds."""

    answer_timeout: float | None = None

    @classmethod
    def opened(cls, *given: Any, answer_timeout: float, **named: Any) -> Self:
        """A new one, whose session is as it was asked for, and its own. Raises psycopg's errors, and UnsuitableServer.

        A pooler gives each client a number of its own, which is not that of the server's process behind it.
        """
        connection = cls.connect(*given, **named)
        connection.answer_timeout = answer_timeout
        connection.autocommit = True
        kept = connection.execute(
            "SELECT current_setting('enable_seqscan') = 'off' AND current_setting('statement_timeout') <> '0',"
            " pg_backend_pid()"
        ).fetchone()
        connection.autocommit = False
        if kept != (True, connection.info.backend_pid):
            connection.close()
            raise UnsuitableServer(UnsuitableServer.WHY)
        return connection

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """See psycopg; a `timeout` that is given is the caller's own."""
        longest = math.inf if self.answer_timeout is None else self.answer_timeout
        seconds = time_left(longest) if timeout is None else timeout
        try:
            answer = super().wait(gen, interval, None if seconds == math.inf else seconds)
        except psycopg.OperationalError as error:
            if timeout is None and self.info.transaction_status == TransactionStatus.ACTIVE:
                self.close()  # nobody knows what the server makes of it
                kind = SilentServer if seconds == longest else NoTimeLeft
                raise kind(f"no answer from the server for {seconds:.1f} s") from error
            raise
        heard()
        return answer
