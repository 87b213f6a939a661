"""The HTTP server: waitress, which gives a request to a thread when it has arrived whole, and sends answers itself.

So no caller holds a thread by sending or reading slowly, and an answer that goes on holds none (`held.py`). What
waitress leaves open is closed here: requests that never become whole, answers that nobody reads, too many connections,
and a stop in good order.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from shared.http.bounds import ANSWER_LIMIT, BODY_LIMIT, HEADER_LIMIT
from shared.http.connection import FOR_IDLENESS, Busy, Connection
from shared.http.interest import Interest

log = logging.getLogger("fulfillment.http")

LINGER = 1.0  # seconds for which a stopping server takes another request on a connection that is open
UNREAD_LIMIT = 64 * 1024 * 1024  # bytes of all unread answers together
QUEUE_PER_THREAD = 20  # requests that may wait for each thread

logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # it would tell of every request that waits


class Server(TcpWSGIServer):  # type: ignore[misc]
    """Serves one application at one listening socket, in the thread that calls `run` and in `threads` of its own."""

    channel_class = Connection
    stopping = False

    def __init__(
        self, application: Any, listener: socket.socket, *, threads: int, connections: int = 2000, proxy: str = ""
    ) -> None:
        """At most `connections` are open at a time. `proxy` is the address whose X-Forwarded-For is believed."""
        trusted = {"trusted_proxy": proxy, "trusted_proxy_count": 1} if proxy else {}
        adjustments = Adjustments(
            threads=threads,
            connection_limit=connections,
            channel_timeout=int(FOR_IDLENESS),
            cleanup_interval=1,
            max_request_header_size=HEADER_LIMIT,
            max_request_body_size=2 * BODY_LIMIT,  # the application is exact about it, whatever the encoding
            inbuf_overflow=4 * BODY_LIMIT,  # no body is written to a file
            outbuf_high_watermark=2 * ANSWER_LIMIT,
            asyncore_use_poll=True,
            channel_request_lookahead=1,  # so that a caller's leaving is noticed while the answer is made
            ident="",
            trusted_proxy_headers={"x-forwarded-for", "x-forwarded-proto"} if proxy else set(),
            **trusted,
        )
        self._workers, self._at_once = ThreadedTaskDispatcher(), ThreadedTaskDispatcher()
        self._workers.set_thread_count(threads)
        self._at_once.set_thread_count(1)
        self._waking, self._closed = threading.RLock(), False  # a signal may come while it is held
        self._most_waiting = threads * QUEUE_PER_THREAD
        name = (listener.family, listener.type, listener.proto, listener.getsockname())
        channels: dict[int, Any] = {}
        self.interest = Interest(channels)
        super().__init__(
            application,
            channels,
            True,
            listener,
            dispatcher=self._workers,
            adj=adjustments,
            bind_socket=False,
            sockinfo=name,
        )

    def run(self, stop: Callable[[], bool], grace: float) -> None:
        """Serve until `stop` says so (it is asked after `wake`, too), then let what is under way end.

        After `grace` seconds what is left is broken off.
        """
        while not stop():
            self._turn(1.0)
        self.stopping = True
        self._accept_what_waits()
        began = time.monotonic()
        while (waited := time.monotonic() - began) < grace and self._under_way(waited < LINGER):
            self._turn(0.05)
        for dispatcher in (self._workers, self._at_once):
            dispatcher.shutdown(cancel_pending=True, timeout=0.5)
        with self._waking:
            self._closed = True
            wasyncore.close_all(self._map)
            self.interest.close()

    def wake(self) -> None:
        """Have `run` look around; harmless once it has ended, when the trigger's file may be somebody else's."""
        with self._waking:
            if not self._closed:
                super().pull_trigger()

    def changed(self, channel: Connection) -> None:
        """Have `run` ask this connection what it waits for."""
        self.interest.changed(channel)
        self.wake()

    def pull_trigger(self) -> None:
        """waitress says this after every request; here only what `changed` need wake the thread that waits."""

    def del_channel(self, map: Any = None) -> None:  # noqa: A002
        self.interest.forget(self._fileno)
        super().del_channel(map)

    def add_task(self, task: Connection) -> None:
        """Whether the process lives is answered at once, whatever the other threads wait for, and refusals are, too."""
        if task.requests[0].error or task.requests[0].path == "/healthz":
            self._at_once.add_task(task)
        elif len(self._workers.queue) >= self._most_waiting:
            task.requests[0].error = Busy("too many requests wait")
            self._at_once.add_task(task)
        else:
            self._workers.add_task(task)

    def maintenance(self, now: float) -> None:
        """Close what is overdue and, when there is too much of it, what has been idle or unread for longest."""
        super().maintenance(now)
        moment = time.monotonic()
        for channel in list(self.active_channels.values()):
            channel.refuse_if_slow(moment)
            channel.will_close |= channel.overdue(moment) or channel.unread(now)
            if channel.will_close:  # waitress would do it when the socket takes more, which it never does unread
                channel.handle_close()
        idle = (each for each in self.active_channels.values() if each.held or not each.requests)
        waiting = sorted(idle, key=_last_activity)
        unread = sum(each.total_outbufs_len for each in waiting)
        too_many = len(self._map) - self.adj.connection_limit * 3 // 4
        for channel in waiting:
            if too_many > 0 or (unread > UNREAD_LIMIT and channel.total_outbufs_len):
                channel.will_close = True
                too_many -= 1
                unread -= channel.total_outbufs_len

    def handle_accept(self) -> None:
        """As many as are waiting, up to a number: one for each turn would leave the others to the next."""
        for _ in range(50):
            before = len(self._map)
            super().handle_accept()
            if len(self._map) == before:
                return

    def _turn(self, seconds: float) -> None:
        self.interest.changed(self)  # being asked is when waitress looks at its clock
        self.interest.turn(seconds)

    def _accept_what_waits(self) -> None:
        """Take the connections that the system has accepted for us, and then no more."""
        self.handle_accept()
        self.del_channel()
        self.accepting = False
        self.socket.close()

    def _under_way(self, lingering: bool) -> bool:
        """Whether there are requests on their way in, being worked, or answers on their way out.

        While lingering, connections that are open count as well: a request may be on its way.
        """
        channels: Iterable[Connection] = list(self.active_channels.values())
        return any(
            lingering or each.requests or each.request is not None or each.total_outbufs_len for each in channels
        )


def _last_activity(channel: Connection) -> float:
    activity: float = channel.last_activity
    return activity
