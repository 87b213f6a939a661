"""Answers that go on without a thread: what has news writes them, from a thread of its own, for as long as it likes.

An application that finds HOLD in its WSGI environment may call it with such an answer. What the application returns is
sent first; then the answer begins, and the thread turns to other requests. Under a server without HOLD the application
iterates instead.
"""

from contextlib import suppress
from typing import Any, Protocol

from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.task import WSGITask

HOLD = "fulfillment.hold"


class Outlet(Protocol):
    """Where the rest of an answer is written, by one thread at a time. Nothing here blocks."""

    @property
    def unread(self) -> int | None:
        """How many bytes lie here that the reader has not taken; None when it has gone."""

    def write(self, data: bytes) -> None:
        """Send this. A reader that has left far too much unread is disconnected."""

    def end(self) -> None:
        """That was all."""


class GoesOn(Protocol):
    """The rest of an answer."""

    def begin(self, outlet: Outlet) -> None:
        """What comes first has been sent: write the rest to the outlet, now or later."""

    def close(self) -> None:
        """It will not begin, because there is nobody to read it."""


class Held(BaseException):
    """Ends what a thread does for a request whose answer goes on: no fault, so no handler of faults may see it."""

    def __init__(self, task: "HeldTask") -> None:
        self.task = task


class HeldTask(WSGITask):  # type: ignore[misc]  # waitress is untyped
    """Answers one request; the answer may go on afterwards."""

    goes_on: GoesOn | None = None

    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ[HOLD] = self._hold
        return environ

    def execute(self) -> None:
        try:
            super().execute()
        except BaseException:
            if self.goes_on:
                self.goes_on.close()
            raise

    def finish(self) -> None:
        if self.goes_on and self.status.startswith("200"):
            raise Held(self)
        if self.goes_on:
            self.goes_on.close()
        super().finish()

    def _hold(self, answer: GoesOn) -> None:
        self.goes_on = answer


class HoldingChannel(HTTPChannel):  # type: ignore[misc]
    """A connection. While its answer goes on it counts as one whose request is being worked, and nothing is read."""

    held = False
    requests: list[Any]

    def service(self) -> None:
        try:
            super().service()
        except Held as held:
            self._go_on(held.task)
        if self.requests or self.writable():  # else it waits for the same as before
            self.server.changed(self)

    def write_soon(self, data: Any) -> int:
        written: int = super().write_soon(data)
        if self.total_outbufs_len:
            self.server.changed(self)
        return written

    def received(self, data: bytes) -> bool:
        return bool(not self.held and super().received(data))

    def _go_on(self, task: HeldTask) -> None:
        with self.requests_lock:
            self.held = True
            self.requests = self.requests[:1]  # the connection ends with this answer
        outlet = _Outlet(task)
        assert task.goes_on
        try:
            task.goes_on.begin(outlet)
        except BaseException:
            outlet.end()
            raise


class _Outlet:
    def __init__(self, task: HeldTask) -> None:
        self._task, self._channel = task, task.channel

    @property
    def unread(self) -> int | None:
        unread: int = self._channel.total_outbufs_len
        return unread if self._channel.connected else None

    def write(self, data: bytes) -> None:
        channel, limit = self._channel, self._channel.adj.outbuf_high_watermark
        if channel.total_outbufs_len > limit:  # waitress would wait here until it is read
            channel.will_close = True
            channel.server.changed(channel)
            return
        channel.current_outbuf_count = limit  # so it begins another buffer: one buffer keeps all that went through it
        with suppress(ClientDisconnected):
            self._task.write(data)

    def end(self) -> None:
        channel = self._channel
        with suppress(ClientDisconnected):
            super(HeldTask, self._task).finish()
        with channel.requests_lock:
            channel.close_when_flushed = True
            channel.requests = []
        channel.server.changed(channel)
