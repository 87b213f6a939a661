"""A service's connections to the broker, by pika's loop: confirmed publishing, consuming in batches, joined writes."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

import msgspec
import pika
from pika.adapters.select_connection import IOLoop, SelectConnection

from tests.benchmarks.floor.frames import OCCURRED_AT, begins_delivery, delivered, published
from tests.benchmarks.floor.order import Message

BATCH = 200


class Joined(SelectConnection):
    """What is written in one turn of the loop becomes one write: pika writes each frame alone."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._held: list[bytes] = []
        self.on_delivery: Callable[[int, Message], None] = ignored
        super().__init__(*arguments, **options)

    def write(self, data: bytes) -> None:
        if not self._held:
            self.ioloop.call_later(0, self._flush)
        self._held.append(data)

    _adapter_emit_data = write

    def _flush(self) -> None:
        data, self._held = b"".join(self._held), []
        if not self.is_closed:
            super()._adapter_emit_data(data)  # type: ignore[misc]

    def _on_data_available(self, data: bytes) -> None:
        """Deliveries are read here, all else by pika, frame by frame."""
        self._frame_buffer += data
        while self._frame_buffer:
            at = 0
            while read := delivered(self._frame_buffer, at):
                at, tag, message = read
                self.on_delivery(tag, message)
            self._trim_frame_buffer(at)
            if begins_delivery(self._frame_buffer, 0):
                break  # the rest of it is on its way
            size, value = self._read_frame()
            if not value:
                break
            self._trim_frame_buffer(size)
            self._process_frame(value)


def ignored(tag: int, message: Message) -> None:
    """Nothing is consumed yet."""


def nothing_else(*_: Any) -> None:
    raise RuntimeError("pika was handed a delivery that is read elsewhere")


class Post:
    """Hands over what came, at most BATCH at once; remembers what was confirmed until it is asked.

    With `bundle`, up to so many messages of the same type travel as one.
    """

    def __init__(
        self,
        loop: IOLoop,
        url: str,
        service: str,
        *,
        on_ready: Callable[[], None],
        on_heard: Callable[[Sequence[Message]], None],
        on_confirmed: Callable[[], None],
        bundle: int,
    ) -> None:
        self._service, self._bundle, self._loop = service, bundle, loop
        self._on_ready, self._on_heard, self._on_confirmed = on_ready, on_heard, on_confirmed
        self._heard: list[tuple[Message, int]] = []  # with the tag to acknowledge when it is done, 0 within a bundle
        self._published = 0
        self._unconfirmed: dict[int, list[str]] = {}  # message ids by tag, the oldest first
        self.confirmed: list[str] = []
        self._url = url
        self._connect(self._opened_out)

    def _connect(self, opened: Callable[[Any], None]) -> None:
        Joined(
            pika.URLParameters(self._url),
            on_open_callback=lambda connection: connection.channel(on_open_callback=opened),
            custom_ioloop=self._loop,
        )

    def _opened_out(self, channel: Any) -> None:
        self._out = channel.connection
        channel.add_on_return_callback(self._returned)
        channel.confirm_delivery(self._confirm, callback=lambda _frame: self._begin())

    def _begin(self) -> None:
        self._on_ready()
        self._connect(self._opened_in)  # only who can answer may hear

    def _opened_in(self, channel: Any) -> None:
        self._in = channel
        channel.connection.on_delivery = self._deliver
        channel.basic_qos(prefetch_count=2 * BATCH)
        channel.basic_consume(f"{self._service}.inbox", nothing_else)

    def publish(self, messages: Iterable[Message]) -> None:
        if not self._bundle:
            for each in messages:
                self._send(each.body, [each.id], each)
            return
        for _, alike in groupby(sorted(messages, key=lambda each: each.kind), key=lambda each: each.kind):
            waiting = list(alike)
            while waiting:
                first, waiting = waiting[: self._bundle], waiting[self._bundle :]
                body = [(m.id, m.order_id, m.cause, OCCURRED_AT, msgspec.Raw(m.body)) for m in first]
                self._send(msgspec.json.encode(body), [each.id for each in first], first[0])

    def _send(self, body: bytes, ids: list[str], first: Message) -> None:
        self._out.write(published(f"{self._service}.events", first, body))
        self._published += 1
        self._unconfirmed[self._published] = ids

    def _returned(self, _channel: Any, _method: Any, properties: Any, _body: bytes) -> None:
        raise RuntimeError(f"nobody hears {properties.type}")

    def _confirm(self, frame: Any) -> None:
        assert isinstance(frame.method, pika.spec.Basic.Ack), frame
        tag = frame.method.delivery_tag
        if frame.method.multiple:
            while self._unconfirmed and (oldest := next(iter(self._unconfirmed))) <= tag:
                self.confirmed += self._unconfirmed.pop(oldest)
        else:
            self.confirmed += self._unconfirmed.pop(tag)
        self._on_confirmed()

    def _deliver(self, tag: int, message: Message) -> None:
        if not self._heard:
            self._loop.call_later(0, self._turn)
        if not self._bundle:
            self._heard.append((message, tag))
            return
        bundle = msgspec.json.decode(message.body, type=list[tuple[str, str, str | None, str, msgspec.Raw]])
        for left, (message_id, order_id, cause, _, body) in zip(reversed(range(len(bundle))), bundle, strict=True):
            inner = Message(message_id, message.kind, order_id, cause, bytes(body))
            self._heard.append((inner, 0 if left else tag))

    def _turn(self) -> None:
        batch, self._heard = self._heard[:BATCH], self._heard[BATCH:]
        if self._heard:
            self._loop.call_later(0, self._turn)
        self._done = max(tag for _, tag in batch)
        self._on_heard([message for message, _ in batch])

    def acknowledge(self) -> None:
        """What was handed over last, and all before it."""
        if self._done:
            self._in.basic_ack(self._done, multiple=True)
