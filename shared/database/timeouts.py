"""How long anybody waits for a database, and who is spared the waiting."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from shared.database.errors import NoAnswer, TransientError


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """What is waited for at most, in seconds, before a transaction fails with a TransientError.

    `answer` is how long PostgreSQL may say nothing, as a frozen server does; it must be longer than `lock` and
    `statement`, which the server itself keeps. `connection` is the wait for one of the pool.
    """

    connect: float = 5.0
    connection: float = 30.0
    lock: float = 2.0
    statement: float = 30.0
    answer: float = 35.0

    @classmethod
    def for_requests(cls) -> "Timeouts":
        """Of a web process: whoever asks is told within about two seconds that the database cannot be used."""
        return cls(connect=2.0, connection=1.0, lock=1.5, statement=2.0, answer=2.5)

    @classmethod
    def for_worker(cls, watchdog: float) -> "Timeouts":
        """Of a worker whose batch must not take longer than `watchdog`: it is for handlers that hang, and a worker that
        waits for its own database gives up well before."""
        answer = min(25.0, watchdog * 0.4)
        return cls(connect=min(5.0, answer), lock=min(2.0, answer / 2), statement=answer * 0.8, answer=answer)

    def __post_init__(self) -> None:
        if self.answer <= max(self.lock, self.statement):
            raise ValueError("the server must be given time to say that a lock or a statement took too long")


class CircuitBreaker:
    """Remembers for a second that a server did not answer, so that not every thread finds it out by waiting."""

    def __init__(self, seconds: float = 1.0) -> None:
        self._seconds, self._open_until = seconds, -math.inf

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Raises TransientError at once if a block ended in NoAnswer a moment ago."""
        if time.monotonic() < self._open_until:
            raise TransientError("the server did not answer a moment ago")
        try:
            yield
        except NoAnswer:
            self._open_until = time.monotonic() + self._seconds
            raise
