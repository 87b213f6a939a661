"""The publishing side: pipelined confirms, and a connection that comes back by itself."""

import logging
import random
import struct
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import takewhile

from pika import exceptions
from pika.channel import Channel
from pika.connection import Parameters
from pika.frame import Method
from pika.spec import Basic, BasicProperties

from shared.logs import Interruption
from shared.messaging.broker import ConnectionLost
from shared.messaging.brokers.rabbitmq.bundle import bundled
from shared.messaging.brokers.rabbitmq.link import IOLoop, Link, loss, reason, user_in
from shared.messaging.brokers.rabbitmq.wire import Parcel, properties_of
from shared.messaging.envelope import Envelope
from shared.messaging.topology import exchange_of

log = logging.getLogger("fulfillment.broker")

LONGEST_PAUSE = 10.0  # seconds


class Publishing:
    """Publishes to a service's exchange, persistent and mandatory, under the name of its own broker user.

    What is said together travels in bundles of at most `bundle` events. `on_settled` is told once of each event what
    became of it: None, or why it was refused. At most `window` messages at a time are sent and unconfirmed; the others
    wait here.
    """

    def __init__(
        self,
        loop: IOLoop,
        service: str,
        parameters: Parameters,
        on_settled: Callable[[tuple[str, str | None]], None],
        on_attempt: Callable[[], None],
        window: int,
        bundle: int,
    ) -> None:
        self.loop, self.service, self.parameters = loop, service, parameters
        self.window, self.bundle = window, bundle
        self.on_settled, self.on_attempt = on_settled, on_attempt
        self._waiting: deque[Parcel] = deque()
        self._unconfirmed: dict[int, tuple[str, Sequence[str]]] = {}  # in the order of publishing
        self._returned: Counter[str] = Counter()
        self._published = 0
        self._failures = 0
        self._interruption = Interruption(log, f"{service} cannot publish")
        self._blocked = self._ending = False
        self._channel: Channel | None = None
        self.link: Link | None = None
        self._open()

    def _open(self) -> None:
        self._channel, self._blocked, self._published = None, False, 0
        self.link = Link(
            self.parameters,
            on_open_callback=lambda link: link.channel(on_open_callback=self._opened),
            on_open_error_callback=self._lost,
            on_close_callback=self._lost,
            custom_ioloop=self.loop,
        )
        self.link.add_on_connection_blocked_callback(lambda _link, frame: self._block(str(frame.method.reason)))
        self.link.add_on_connection_unblocked_callback(lambda _link, _frame: self._unblock())

    def end(self) -> None:
        """Do not come back."""
        self._ending = True

    def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Send them, or keep them while the broker blocks; refuse them at once while it is away."""
        if self._channel:
            self._waiting += bundled(envelopes, self.bundle)
            self._pump()
        else:
            self._tell([each.id for each in envelopes], "unsent: the publishing connection is down")

    def _tell(self, ids: Sequence[str], why: str | None) -> None:
        for each in ids:
            self.on_settled((each, why))

    def _pump(self) -> None:
        exchange, user, channel = exchange_of(self.service), user_in(self.parameters), self._channel
        while self._waiting and channel and not self._blocked and len(self._unconfirmed) < self.window:
            parcel = self._waiting.popleft()
            properties = BasicProperties(**properties_of(parcel), user_id=user)
            try:
                channel.basic_publish(exchange, parcel.type, parcel.body, properties, mandatory=True)
            except (ValueError, struct.error, exceptions.AMQPError) as error:
                self._tell(parcel.events, f"unsendable: {reason(error)}")
            else:
                self._published += 1
                self._unconfirmed[self._published] = parcel.id, parcel.events

    def _opened(self, channel: Channel) -> None:
        channel.add_on_close_callback(lambda _channel, error: self._lost(self.link, error))
        channel.add_on_return_callback(lambda _channel, _method, properties, _body: self._return(properties))
        channel.confirm_delivery(self._confirmed, callback=lambda _frame: self._ready(channel))

    def _ready(self, channel: Channel) -> None:
        self._channel = channel
        self._interruption.over()
        self.on_attempt()

    def _return(self, properties: BasicProperties) -> None:
        self._returned[str(properties.message_id)] += 1  # its confirm follows

    def _confirmed(self, frame: Method[Basic.Ack | Basic.Nack]) -> None:
        last = int(frame.method.delivery_tag or 0)
        several = takewhile(lambda tag: tag <= last or not last, self._unconfirmed)  # 0 means all
        for tag in list(several) if frame.method.multiple else [last]:
            message_id, ids = self._unconfirmed.pop(tag)
            if isinstance(frame.method, Basic.Nack):
                self._tell(ids, "nacked")
            elif self._returned.get(message_id):
                self._returned[message_id] -= 1
                self._tell(ids, "returned")
            else:
                self._tell(ids, None)
        self._returned = +self._returned  # forgets those that have been told
        self._failures = 0
        self._pump()

    def _block(self, why: str) -> None:
        self._blocked = True
        log.warning("%s: RabbitMQ takes no messages for now: %s", self.service, why)

    def _unblock(self) -> None:
        self._blocked = False
        log.info("%s: RabbitMQ takes messages again", self.service)
        self._pump()

    def _lost(self, link: Link | None, error: BaseException) -> None:
        if link is not self.link or link is None:
            return  # this loss has been told
        self.link = self._channel = None
        link.drop()
        why = reason(error)
        for _, ids in self._unconfirmed.values():
            self._tell(ids, f"unknown: {why}")
        for parcel in self._waiting:
            self._tell(parcel.events, f"unsent: {why}")
        left = len(self._unconfirmed), len(self._waiting)
        self._unconfirmed.clear()
        self._waiting.clear()
        self._returned.clear()
        self.on_attempt()
        pause = min(LONGEST_PAUSE, 0.2 * 2**self._failures) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        self._failures += 1
        self.loop.call_later(pause, partial(self._again, left, loss(self.service, error)))

    def _again(self, left: tuple[int, int], lost: ConnectionLost) -> None:
        """Told only now: when the consuming side is lost, too, that ends both, and is told by whoever uses them."""
        if not self._ending:
            self._interruption.hit(f"{left[0]} messages unconfirmed and {left[1]} unsent: {lost}")
            self._open()
