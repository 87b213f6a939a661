"""One worker's connection: calls come from its batch thread, and one I/O thread serves both AMQP connections."""

import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from threading import Condition, Thread
from typing import TypeVar

from shared.messaging.broker import ConnectionLost, Delivery, Settled
from shared.messaging.brokers.rabbitmq.consuming import Consuming
from shared.messaging.brokers.rabbitmq.link import IOLoop, Link, loss, parameters_for
from shared.messaging.brokers.rabbitmq.publishing import Publishing
from shared.messaging.envelope import Envelope

log = logging.getLogger("fulfillment.broker")

TO_CONNECT = 10.0  # seconds
TO_CLOSE = 2.0  # seconds; a broker that blocks does not answer
A = TypeVar("A")
HANGING = 75  # the exit code: a temporary failure, start me again


class Session:
    """The port, on two AMQP connections so that a blocked publisher never holds back acknowledgments.

    Heartbeats are served whatever the batch thread does. What happens on the I/O thread is handed over once a turn.
    """

    def __init__(self, url: str, service: str, alive: Callable[[], bool], window: int, bundle: int) -> None:
        consumes, publishes = parameters_for(url, f"{service} consumes"), parameters_for(url, f"{service} publishes")
        self.service, self._alive = service, alive
        self._prefetch = 1, 1  # in events, in messages

        self._changed = Condition()  # guards what both threads use:
        self._ready: deque[Delivery] = deque()
        self._confirmed: list[str] = []
        self._refused: dict[str, str] = {}
        self._woken = False
        self._awaited = {"consuming", "publishing"}
        self._lost: ConnectionLost | None = None

        self._arrived: list[Delivery] = []  # in this turn of the loop
        self._settled: list[tuple[str, str | None]] = []  # in this turn of the loop
        self._closing = self._finished = False
        self._loop = loop = IOLoop()
        consuming, publishing = partial(self._tried, "consuming"), partial(self._tried, "publishing")
        self._consuming = Consuming(loop, service, consumes, self._arrived.append, consuming, self._on_loss, bundle)
        self._publishing = Publishing(loop, service, publishes, self._settled.append, publishing, window, bundle)
        self._thread = Thread(target=self._run, name=f"{service} broker I/O", daemon=True)
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._lost or not self._awaited, TO_CONNECT)
            error = self._lost or (ConnectionLost(f"{service}: no answer") if self._awaited else None)
        if error:
            self.close()
            raise error
        log.info("%s is connected to RabbitMQ", service)

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._woken or self._lost, timeout)
            self._check()
            self._woken = False
            return [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self._call(self._consuming.acknowledge, [each.tag for each in deliveries])

    def reject(self, deliveries: Sequence[Delivery]) -> None:
        self._call(self._consuming.reject, [each.tag for each in deliveries])

    def publish(self, envelopes: Sequence[Envelope]) -> None:
        self._call(self._publishing.publish, list(envelopes))

    def settled(self) -> Settled:
        with self._changed:
            self._check()
            settled = Settled(confirmed=self._confirmed, refused=self._refused)
            self._confirmed, self._refused = [], {}
            return settled

    def prefetch(self, count: int) -> None:
        messages = max(1, int(count / self._consuming.size))  # which is what RabbitMQ counts
        asked, now = self._prefetch
        if messages != now and (count != asked or not now < 2 * messages < 4 * now):
            self._call(self._consuming.prefetch, messages)
            self._prefetch = count, messages

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._lost = self._lost or ConnectionLost(f"{self.service}: closed")
        self._loop.add_callback_threadsafe(self._shut)
        self._thread.join(TO_CLOSE + 5.0)

    def _check(self) -> None:
        if self._lost:
            raise self._lost

    def _call(self, action: Callable[[A], None], argument: A) -> None:
        with self._changed:
            self._check()
        self._loop.add_callback_threadsafe(partial(action, argument))

    # What follows runs on the I/O thread.

    def _run(self) -> None:
        loop = self._loop
        loop.activate_poller()
        loop.call_later(1.0, self._ask_alive)
        try:
            while not (self._finished or (self._closing and all(link.is_closed for link in self._links()))):
                self._turn()
        except Exception as error:
            log.exception("%s: the broker I/O thread fails", self.service)
            self._on_loss(error)
        finally:
            for link in self._links():
                link.drop()
            for _ in range(3):  # a dropped socket is closed in the next turn
                loop.call_later(0, lambda: None)
                loop.poll()
                loop.process_timeouts()
            loop.close()

    def _turn(self) -> None:
        self._loop.poll()
        self._loop.process_timeouts()
        for link in self._links():
            link.flush()
        if self._arrived or self._settled:
            with self._changed:
                self._ready += self._arrived
                self._confirmed += [message_id for message_id, why in self._settled if why is None]
                self._refused |= {message_id: why for message_id, why in self._settled if why is not None}
                if self._arrived:
                    self._changed.notify_all()
            self._arrived.clear()
            self._settled.clear()

    def _links(self) -> list[Link]:
        return [link for link in (self._consuming.link, self._publishing.link) if link]

    def _tried(self, side: str) -> None:
        with self._changed:
            self._awaited.discard(side)
            self._changed.notify_all()

    def _on_loss(self, error: BaseException) -> None:
        if self._closing:
            return
        with self._changed:
            self._lost = self._lost or loss(self.service, error)  # whoever calls next is told
            self._changed.notify_all()
        self._shut()

    def _shut(self) -> None:
        if not self._closing:
            self._closing = True
            self._publishing.end()
            self._loop.call_later(TO_CLOSE, self._finish)
            for link in self._links():
                if link.is_open:
                    link.close()
                else:
                    link.drop()

    def _finish(self) -> None:
        self._finished = True

    def _ask_alive(self) -> None:
        if not self._alive():
            log.critical("%s: a batch hangs; the process ends so that its messages go to another", self.service)
            logging.shutdown()
            os._exit(HANGING)
        self._loop.call_later(1.0, self._ask_alive)
