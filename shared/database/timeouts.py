"""How long anybody waits for a database, and who is spared the waiting."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from shared.database.errors import NoAnswer, TransientError

REQUEST = 2.0  # seconds that whoever asks an API waits for a database that says nothing


class _Silence(threading.local):
    """How long the database may say nothing to this thread, and since when the thread has waited for it."""

    longest = math.inf
    since: float | None = None


_silence = _Silence()


@contextmanager
def one_request(seconds: float = REQUEST) -> Iterator[None]:
    """All waits of this thread for the database share one deadline in this block: so many seconds after the first of
    them began. Whatever the database says begins them anew, so that they bound silence and not work."""
    before = _silence.longest, _silence.since
    _silence.longest, _silence.since = seconds, None
    try:
        yield
    finally:
        _silence.longest, _silence.since = before


def time_left(longest: float) -> float:
    """How many seconds a wait that begins now may take: `longest`, or less in a request that has waited already."""
    now = time.monotonic()
    if _silence.since is None:
        _silence.since = now
    return max(0.0, min(longest, _silence.since + _silence.longest - now))


def heard() -> None:
    """The database has said something to this thread."""
    _silence.since = None


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """What is waited for at most, in seconds, before a transaction fails with a TransientError.

    `answer` is how long PostgreSQL may say nothing, as a frozen server does; it must be longer than `lock` and
    `statement`, which the server itself keeps. `connection` is the wait for one of the pool. In a request all of them
    together take no longer than `one_request` says.
    """

    connect: float = 5.0
    connection: float = 30.0
    lock: float = 2.0
    statement: float = 30.0
    answer: float = 35.0

    @classmethod
    def for_requests(cls) -> "Timeouts":
        """Of a web process: whoever asks is told within about two seconds that the database cannot be used."""
        return cls(connect=REQUEST, connection=0.5, lock=1.2, statement=1.6, answer=1.8)

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
