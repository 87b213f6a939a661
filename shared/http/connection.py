"""One connection to the HTTP server: its requests have deadlines, and what the server itself refuses is a problem."""

import json
import logging
import socket
import time
from typing import Any

from waitress.task import ErrorTask
from waitress.utilities import Error

from shared.http.bounds import HEADERS
from shared.http.held import HeldTask, HoldingChannel
from shared.http.problems import MEDIA_TYPE, document

log = logging.getLogger("fulfillment.http")

FOR_REQUESTS = 15.0  # seconds from the first byte of a request to its last
FOR_IDLENESS = 20.0  # seconds for which a connection may say nothing, or an answer may lie unread
FOR_GOODBYES = 2.0  # seconds for which a connection that was refused may go on sending


class Busy(Error):  # type: ignore[misc]
    """So many requests wait for a thread that another one would wait too long."""

    code, reason = 503, "Service Unavailable"


class TooSlow(Error):  # type: ignore[misc]
    """A request did not arrive whole in time."""

    code, reason = 408, "Request Timeout"


class _Answer(HeldTask):
    def build_response_header(self) -> bytes:
        if self.channel.server.stopping:
            self.set_close_on_finish()
        header: bytes = super().build_response_header()
        return header


class _Refusal(ErrorTask):  # type: ignore[misc]  # waitress is untyped
    """What the server refuses by itself is a problem with the usual headers, too."""

    def execute(self) -> None:
        error, peer = self.request.error, (self.channel.addr or ("?",))[0]
        detail = BUSY if isinstance(error, Busy) else f"The request cannot be read: {error.body}."
        log.warning("refused with %d, from %s: %s", error.code, peer, error.body)
        kind = "overloaded" if isinstance(error, Busy) else ""
        path = getattr(self.request, "path", "/")
        body = json.dumps(document(error.code, detail, kind=kind, instance=path)).encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers += [*HEADERS.items(), ("Content-Type", MEDIA_TYPE)]
        if isinstance(error, Busy):
            self.response_headers.append(("Retry-After", "2"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.channel.refused = True
        self.write(body)


BUSY = "Too many requests are waiting here. Try again; a POST with its Idempotency-Key is safe to repeat."


class Connection(HoldingChannel):
    """One connection. A request has a deadline, and whoever was refused may finish sending, into nothing."""

    task_class, error_task_class = _Answer, _Refusal
    refused = False
    close_when_flushed: bool
    request: Any
    request_began = 0.0  # monotonic; 0.0 while no request is on its way in
    said_goodbye = 0.0  # monotonic, when we have ended our half of a connection

    def add_channel(self, map: Any = None) -> None:  # noqa: A002
        super().add_channel(map)
        self.server.interest.changed(self)

    def del_channel(self, map: Any = None) -> None:  # noqa: A002
        self.server.interest.forget(self._fileno)
        super().del_channel(map)

    def received(self, data: bytes) -> bool:
        if self.said_goodbye:
            return False
        more: bool = super().received(data)
        if self.request is None:
            self.request_began = 0.0
        elif not self.request_began:
            self.request_began = time.monotonic()
        return more

    def readable(self) -> bool:
        return bool(self.said_goodbye or super().readable())

    def handle_write(self) -> None:
        """Closing while the caller still sends would reset the connection, and the answer might be lost."""
        if self.refused and self.close_when_flushed and not self.will_close:
            self._flush_exception(self._flush_some)
            if not self.total_outbufs_len and not self.will_close:
                self.close_when_flushed, self.said_goodbye = False, time.monotonic()
                self.socket.shutdown(socket.SHUT_WR)
            return
        super().handle_write()

    def refuse_if_slow(self, now: float) -> None:
        """End a request that takes too long to arrive; monotonic seconds. For the thread that receives."""
        if self.request_began and now - self.request_began > FOR_REQUESTS:
            with self.requests_lock:
                request, self.request, self.request_began = self.request, None, 0.0
                request.error = TooSlow(f"not whole after {FOR_REQUESTS:.0f} s")
                self.requests.append(request)
                if len(self.requests) == 1:
                    self.server.add_task(self)

    def overdue(self, now: float) -> bool:
        """Whether it has been given long enough to end; monotonic seconds."""
        return bool(self.said_goodbye) and now - self.said_goodbye > FOR_GOODBYES

    def unread(self, now: float) -> bool:
        """Whether nothing of its answer was taken for a long time; seconds since the epoch, as waitress counts."""
        return bool(self.total_outbufs_len) and now - self.last_activity > FOR_IDLENESS
