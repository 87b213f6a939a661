"""Server-sent events: what a viewer is sent, and the rooms that it waits in. One thread fills all of them."""

import threading
import time
from collections.abc import Iterator
from typing import Protocol

import msgspec
from flask import Response, request
from sqlalchemy import Connection

from shared.http.held import HOLD, Outlet

HELLO, ALIVE = b"retry: 1000\n: hello\n\n", b": alive\n\n"
HEARTBEAT = 3.0  # seconds without news until a viewer is sent a sign of life; so we find out that it has gone
MOST_UNREAD = 256 * 1024  # bytes that a viewer has not read yet, from which on it is sent nothing more until it has
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Frame(msgspec.Struct, frozen=True):
    """One event on the wire. `number` grows within a topic: whoever has it is not sent it again."""

    number: int
    data: bytes


class Topic(Protocol):
    """What viewers look at together. It is asked for news once for all of them."""

    order_id: str | None  # it has news only with a new version of this order; None: look each time
    pace: float  # seconds between two looks at most so often
    has_backlog: bool  # what is behind a position may be long; otherwise every look brings all that there is

    def frames(self, connection: Connection, after: int) -> list[Frame]:
        """The news behind `after`, the oldest first; at most a few hundred, the next call goes on."""


def frame(number: int, data: str, *, event: str | None = None, id: str | None = None) -> Frame:  # noqa: A002 - SSE's word
    """A frame; `data` may have several lines."""
    lines = [f"id: {id}"] if id is not None else []
    lines += [f"event: {event}"] if event else []
    lines += [f"data: {line}" for line in data.splitlines() or [""]]
    return Frame(number, ("\n".join(lines) + "\n\n").encode())


class Stream:
    """One viewer of a topic. It is written to the outlet that it begins at, or to whoever iterates over it."""

    def __init__(self, topic: Topic, after: int, who: str, own: tuple[bytes, bytes] | None = None) -> None:
        """`own` are bytes that stand in every frame for the viewer's own, and those."""
        self.topic, self.after, self.who, self._own = topic, after, who, own
        self._news = threading.Condition()
        self._unread: list[bytes] = []
        self._outlet: Outlet | None = None
        self._sent_at = time.monotonic()
        self.closed = False

    @property
    def wants(self) -> bool:
        """Whether the viewer has read nearly all; whoever has not misses nothing, and is shown it later."""
        with self._news:
            unread = self._outlet.unread if self._outlet else sum(map(len, self._unread))
            return unread is not None and unread < MOST_UNREAD

    def begin(self, outlet: Outlet) -> None:
        """From now on everything goes there, at once."""
        with self._news:
            self._outlet = outlet
            self._flush()
            if self.closed:
                outlet.end()

    def push(self, frames: list[Frame], together: bytes) -> None:
        """Give the viewer what it does not have yet of these, which are one piece `together`; called by the one thread
        that looks."""
        with self._news:
            if frames[0].number > self.after and not self._own:
                self._unread.append(together)
            else:
                new = (each.data for each in frames if each.number > self.after)
                self._unread += (data.replace(*self._own) if self._own else data for data in new)
            self.after = max(self.after, frames[-1].number)
            self._flush()
            self._news.notify()

    def tend(self) -> bool:
        """Give the viewer a sign of life when it is time for one; returns whether it is still there."""
        with self._news:
            if self._outlet and not self.closed:
                if self._outlet.unread is None:
                    self.close()
                elif time.monotonic() - self._sent_at > HEARTBEAT:
                    self._unread.append(ALIVE)
                    self._flush()
            return not self.closed

    def close(self) -> None:
        with self._news:
            if self._outlet and not self.closed:
                self._outlet.end()
            self.closed = True
            self._news.notify()

    def __iter__(self) -> Iterator[bytes]:
        yield HELLO
        while chunk := self._next():
            yield chunk

    def _next(self) -> bytes:
        """All that is unread, a heartbeat when nothing came for long, and nothing at all when closed."""
        until = time.monotonic() + HEARTBEAT
        with self._news:
            while not self._unread and not self.closed:
                if (left := until - time.monotonic()) <= 0:
                    return ALIVE
                self._news.wait(left)
            return self._take()

    def _flush(self) -> None:
        if self._outlet and self._unread and not self.closed:
            self._outlet.write(self._take())
            self._sent_at = time.monotonic()

    def _take(self) -> bytes:
        chunk = b"".join(self._unread)
        self._unread.clear()
        return chunk


def response(stream: Stream, release: "Release") -> Response:
    """The stream as an answer, which holds no thread where the server can do that.

    Elsewhere `release` is called when the viewer has gone, also if nothing was ever read.
    """
    hold = request.environ.get(HOLD) if request.method == "GET" else None
    if hold:
        hold(stream)
        answer = Response(iter([HELLO]), mimetype="text/event-stream")
    else:
        answer = Response(iter(stream), mimetype="text/event-stream")
        answer.call_on_close(lambda: release(stream))
    answer.headers.update(HEADERS)
    return answer


class Release(Protocol):
    def __call__(self, stream: Stream) -> None: ...
