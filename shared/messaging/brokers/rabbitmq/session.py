"""One worker's connection: two AMQP connections on one loop, which is turned by the thread that calls."""

import logging
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from shared.messaging.broker import ConnectionLost, Delivery, Settled
from shared.messaging.brokers.rabbitmq.consuming import Consuming
from shared.messaging.brokers.rabbitmq.link import IOLoop, Link, loss, parameters_for, user_in
from shared.messaging.brokers.rabbitmq.publishing import Publishing
from shared.messaging.brokers.rabbitmq.senders import Senders
from shared.messaging.envelope import Envelope

log = logging.getLogger("fulfillment.broker")

TO_CONNECT = 10.0  # seconds
TO_CLOSE = 2.0  # seconds; a broker that blocks does not answer


class Session:
    """The port, on two AMQP connections so that a blocked publisher never holds back acknowledgments.

    There is no thread behind it: `take` and `settled` turn the loop, and what is published or acknowledged is written
    at once, as far as the socket takes it; the rest goes with the next turn. Between two calls nothing is read and no
    heartbeat is sent: see `RabbitMQ` for how long that may last.
    """

    def __init__(
        self,
        url: str,
        service: str,
        heartbeat: int,
        window: int,
        bundle: int,
        users: Mapping[str, str],
        largest_body: int,
    ) -> None:
        consumes = parameters_for(url, f"{service} consumes", heartbeat)
        publishes = parameters_for(url, f"{service} publishes", heartbeat)
        senders = Senders(service, user_in(consumes), users)
        self.service = service
        self._prefetch = 1, 1  # in events, in messages
        self._ready: deque[Delivery] = deque()
        self._confirmed: list[str] = []
        self._refused: dict[str, str] = {}
        self._awaited = {"consuming", "publishing"}
        self._lost: ConnectionLost | None = None
        self._closed = self._woken = False
        self._loop = loop = IOLoop()
        loop.activate_poller()
        self._alarm, self._bell = socket.socketpair()
        self._bell.setblocking(False)
        loop.add_handler(self._alarm.fileno(), self._wake_up, IOLoop.READ)
        consuming, publishing = (partial(self._awaited.discard, side) for side in ("consuming", "publishing"))
        self._consuming = Consuming(
            loop, service, consumes, senders, self._ready.append, consuming, self._on_loss, bundle, largest_body
        )
        self._publishing = Publishing(loop, service, publishes, self._settle, publishing, window, bundle)
        until = time.monotonic() + TO_CONNECT
        while self._awaited and not self._lost and (left := until - time.monotonic()) > 0:
            self._turn(left)
        if error := self._lost or (ConnectionLost(f"{service}: no answer") if self._awaited else None):
            self.close()
            raise error
        log.info("%s is connected to RabbitMQ; %s", service, senders)

    @property
    def events_per_message(self) -> float:
        return self._consuming.size

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        self._check()
        until = time.monotonic() + timeout
        left = 0.0 if self._ready or self._woken else timeout
        while True:
            self._turn(left)
            left = max(0.0, until - time.monotonic())
            if self._ready or self._woken or self._lost or not left:
                break
        known = 0
        while known < len(self._ready) < limit:  # a turn reads only a part of what is there
            known = len(self._ready)
            self._turn(0.0)
        self._check()
        self._woken = False
        return [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self._check()
        self._consuming.acknowledge([each.tag for each in deliveries])
        self._write()

    def publish(self, envelopes: Sequence[Envelope]) -> None:
        self._check()
        self._publishing.publish(envelopes)
        self._write()

    def settled(self) -> Settled:
        self._check()
        self._turn(0.0)
        self._check()
        settled = Settled(confirmed=self._confirmed, refused=self._refused)
        self._confirmed, self._refused = [], {}
        return settled

    def prefetch(self, count: int) -> None:
        self._check()
        messages = max(1, int(count / self._consuming.size))  # which is what RabbitMQ counts
        asked, now = self._prefetch
        if messages != now and (count != asked or not now < 2 * messages < 4 * now):
            self._consuming.prefetch(messages)
            self._write()
            self._prefetch = count, messages

    def wake(self) -> None:
        with suppress(OSError):  # it is rung already, or closed
            self._bell.send(b"!")  # no lock: also a signal handler may call, whatever it interrupts

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._lost = self._lost or ConnectionLost(f"{self.service}: closed")
        self._publishing.end()
        for link in self._links():
            if link.is_open:
                link.close()
            else:
                link.drop()
        until = time.monotonic() + TO_CLOSE
        while not all(link.is_closed for link in self._links()) and (left := until - time.monotonic()) > 0:
            self._turn(left)
        for link in self._links():
            link.drop()
        for _ in range(3):  # a dropped socket is closed in the next turn
            self._turn(0.0)
        self._loop.close()
        self._alarm.close()
        self._bell.close()

    def _turn(self, longest: float) -> None:
        """Read what has come, or wait for it so many seconds; do what is due; write what that leaves to be said."""
        loop = self._loop
        try:
            timer = loop.call_later(longest, lambda: None)
            loop.poll()
            loop.remove_timeout(timer)
            loop.process_timeouts()
            self._flush()
        except Exception as error:
            log.exception("%s: the broker's loop fails", self.service)
            self._on_loss(error)

    def _write(self) -> None:
        """Send what was said, now: whoever calls next may be long in coming."""
        self._flush()
        self._turn(0.0)

    def _flush(self) -> None:
        for link in self._links():
            link.flush()

    def _links(self) -> list[Link]:
        return [link for link in (self._consuming.link, self._publishing.link) if link]

    def _wake_up(self, _fileno: int, _events: int) -> None:
        self._alarm.recv(4096)
        self._woken = True

    def _settle(self, settled: tuple[str, str | None]) -> None:
        message_id, why = settled
        if why is None:
            self._confirmed.append(message_id)
        else:
            self._refused[message_id] = why

    def _on_loss(self, error: BaseException) -> None:
        self._lost = self._lost or loss(self.service, error)  # whoever calls next is told

    def _check(self) -> None:
        if self._lost:
            raise self._lost
