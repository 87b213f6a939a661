"""Server-sent events: what a viewer is sent, and the rooms that it waits in. One thread fills all of them."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Protocol

import msgspec
from flask import Response
from sqlalchemy import Connection

HEARTBEAT = 3.0  # seconds without news until a viewer is sent a sign of life; so we find out that it has gone
MOST_UNREAD = 1_000  # frames; a viewer who is further behind is let go, and resumes where it was
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Frame(msgspec.Struct, frozen=True):
    """One event on the wire. `number` grows within a topic: whoever has it is not sent it again."""

    number: int
    data: bytes


class Topic(Protocol):
    """What viewers look at together. It is asked for news once for all of them."""

    order_id: str | None  # it has news only with a new version of this order; None: look each time
    pace: float  # seconds between two looks at most so often

    def frames(self, connection: Connection, after: int) -> list[Frame]:
        """The news behind `after`, the oldest first; at most a few hundred, the next call goes on."""


def frame(number: int, data: str, *, event: str | None = None, id: str | None = None) -> Frame:  # noqa: A002 - SSE's word
    """A frame; `data` may have several lines."""
    lines = [f"id: {id}"] if id is not None else []
    lines += [f"event: {event}"] if event else []
    lines += [f"data: {line}" for line in data.splitlines() or [""]]
    return Frame(number, ("\n".join(lines) + "\n\n").encode())


class Stream:
    """One viewer of a topic. Iterating yields bytes for the wire until the stream is closed."""

    def __init__(self, topic: Topic, after: int, who: str, own: tuple[bytes, bytes] | None = None) -> None:
        """`own` are bytes that stand in every frame for the viewer's own, and those."""
        self.topic, self.after, self.who, self._own = topic, after, who, own
        self._news = threading.Condition()
        self._unread: deque[bytes] = deque()
        self.closed = False

    def push(self, frames: list[Frame]) -> None:
        """Give the viewer what it does not have yet; called by the one thread that looks."""
        with self._news:
            for each in frames:
                if each.number > self.after:
                    self.after = each.number
                    self._unread.append(each.data.replace(*self._own) if self._own else each.data)
            if len(self._unread) > MOST_UNREAD:
                self._unread.clear()
                self.closed = True
            self._news.notify()

    def close(self) -> None:
        with self._news:
            self.closed = True
            self._news.notify()

    def __iter__(self) -> Iterator[bytes]:
        yield b"retry: 1000\n: hello\n\n"
        while chunk := self._next():
            yield chunk

    def _next(self) -> bytes:
        """All that is unread, a heartbeat when nothing came for long, and nothing at all when closed."""
        until = time.monotonic() + HEARTBEAT
        with self._news:
            while not self._unread and not self.closed:
                if (left := until - time.monotonic()) <= 0:
                    return b": alive\n\n"
                self._news.wait(left)
            chunk = b"".join(self._unread)
            self._unread.clear()
            return chunk


def response(stream: Stream, release: "Release") -> Response:
    """The stream as an answer; `release` is called when the viewer has gone, also if nothing was ever read."""
    answer = Response(iter(stream), mimetype="text/event-stream")
    answer.headers.update(HEADERS)
    answer.call_on_close(lambda: release(stream))
    return answer


class Release(Protocol):
    def __call__(self, stream: Stream) -> None: ...
