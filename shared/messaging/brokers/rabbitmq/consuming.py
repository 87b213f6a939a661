"""The consuming side: two queues on one channel, and acknowledgments."""

from collections.abc import Callable, Iterator, Sequence
from itertools import count, takewhile

from pika.channel import Channel
from pika.connection import Parameters
from pika.spec import Basic, BasicProperties

from shared.messaging.broker import Delivery
from shared.messaging.brokers.rabbitmq.bundle import MOST, ROOM, delivered
from shared.messaging.brokers.rabbitmq.link import IOLoop, Link
from shared.messaging.brokers.rabbitmq.senders import Senders
from shared.messaging.brokers.rabbitmq.wire import death_of, drops_of, user_of
from shared.messaging.topology import dead_letters_of, inbox_of

DEAD_LETTERS = "dead letters"  # their consumer's tag
DEAD_LETTERS_AT_A_TIME = 10
HELD = 16 << 20  # bytes of events that are not acknowledged: beyond, nothing more is read for now
_sessions = count(1)


class Consuming:
    """Delivers from a service's inbox and dead-letter queue until anything at all goes wrong; then says so, once."""

    def __init__(
        self,
        loop: IOLoop,
        service: str,
        parameters: Parameters,
        senders: Senders,
        on_delivery: Callable[[Delivery], None],
        on_ready: Callable[[], None],
        on_loss: Callable[[BaseException], None],
        size: float,
        largest: int,
    ) -> None:
        self.service, self.senders = service, senders
        self.on_delivery, self.on_ready, self.on_loss = on_delivery, on_ready, on_loss
        self.size = size  # events in a message, of late; at first a guess
        self.largest = largest
        self._bytes: dict[int, int] = {}  # that each unacknowledged message holds here
        self._held = 0  # all of them
        self._first = next(_sessions) << 48  # so that another connection's tags mean nothing to this one
        self._unacknowledged: dict[int, int] = {}  # in the order of delivery, with a bit for each event not done with
        self._consumers = 0
        self._channel: Channel | None = None
        self.link = Link(
            parameters,
            on_open_callback=lambda link: link.channel(on_open_callback=self._opened),
            on_open_error_callback=lambda _link, error: on_loss(error),
            on_close_callback=lambda _link, error: on_loss(error),
            custom_ioloop=loop,
            full=lambda: self._held > HELD,
        )

    def acknowledge(self, tags: Sequence[int]) -> None:
        """Unknown tags mean nothing. The oldest that follow each other without a gap are one frame."""
        done = set(self._done(tags))
        last = max(takewhile(done.__contains__, self._unacknowledged), default=0)
        if channel := self._open_channel():
            if last:
                channel.basic_ack(last - self._first, multiple=True)
            for tag in sorted(tag for tag in done if tag > last):
                channel.basic_ack(tag - self._first)
        was_full = self._held > HELD
        for tag in done:
            del self._unacknowledged[tag]
            self._held -= self._bytes.pop(tag)
        if was_full and self._held <= HELD:
            self.link.read_on()

    def _done(self, tags: Sequence[int]) -> Iterator[int]:
        """The messages of which nothing is left after these events."""
        for tag, part in (divmod(tag, MOST) for tag in tags):
            if left := self._unacknowledged.get(tag):
                self._unacknowledged[tag] = left = left & ~(1 << part)
                if not left:
                    yield tag

    def prefetch(self, number: int) -> None:
        """Consume the inbox anew: RabbitMQ applies a prefetch to consumers that begin after it was said."""
        if channel := self._open_channel():
            consumer = self._consumer()
            channel.basic_cancel(consumer, callback=lambda _frame: None)
            # Without this, pika would requeue what is still on its way, and each requeueing counts as a drop.
            channel._cancelled.discard(consumer)  # type: ignore[attr-defined]
            self._consume_inbox(channel, number)

    def _opened(self, channel: Channel) -> None:
        self._channel = channel
        channel.add_on_close_callback(lambda _channel, error: self.on_loss(error))
        channel.add_on_cancel_callback(lambda frame: self.on_loss(_Cancelled(frame.method.consumer_tag)))
        channel.basic_qos(prefetch_count=DEAD_LETTERS_AT_A_TIME)
        channel.basic_consume(dead_letters_of(self.service), self._delivered, consumer_tag=DEAD_LETTERS)
        self._consume_inbox(channel, 1, self.on_ready)

    def _consume_inbox(self, channel: Channel, number: int, then: Callable[[], None] = lambda: None) -> None:
        self._consumers += 1
        inbox = inbox_of(self.service)
        channel.basic_qos(prefetch_count=number)
        channel.basic_consume(inbox, self._delivered, consumer_tag=self._consumer(), callback=lambda _frame: then())

    def _consumer(self) -> str:
        return f"inbox {self._consumers}"

    def _delivered(self, _channel: Channel, method: Basic.Deliver, said: BasicProperties, body: bytes) -> None:
        properties, exchange, death = vars(said), str(method.exchange), None
        if method.consumer_tag == DEAD_LETTERS:
            death, exchange = death_of(properties)
        tag = int(method.delivery_tag or 0) + self._first
        drops = drops_of(properties, bool(method.redelivered))
        producer = self.senders.producer(user_of(properties), exchange)
        events = delivered(properties, body, producer=producer, service=self.service, largest=self.largest)
        self.size += (len(events) - self.size) / 16
        self._unacknowledged[tag] = (1 << len(events)) - 1
        self._bytes[tag] = sum(len(each.body) + ROOM for each in events)
        self._held += self._bytes[tag]
        for part, event in enumerate(events, tag * MOST):
            self.on_delivery(Delivery(envelope=event, tag=part, drops=drops, death=death))

    def _open_channel(self) -> Channel | None:
        return self._channel if self._channel and self._channel.is_open else None


class _Cancelled(Exception):
    """The broker ended a consumer: its queue was deleted, or is not available."""

    def __str__(self) -> str:
        return f"the broker cancelled the consumer {self.args[0]!r}"
