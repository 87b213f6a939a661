"""Messages read and written in one go, compared with pika, which does it frame by frame."""

import struct
from typing import Any

import msgspec
import pika
import pytest
from pika import frame, spec

from shared.messaging.brokers.rabbitmq.frames import delivery, publishing
from shared.messaging.brokers.rabbitmq.wire import properties_of
from tests.unit.test_wire import PAID

BODY = PAID.body
SAID = properties_of(PAID)


def delivered(said: dict[str, Any], body: bytes = BODY, *, frames: int = 1) -> bytes:
    """What a broker sends."""
    method = spec.Basic.Deliver("inbox 1", 7, True, "payment.events", "payment.captured")
    parts = [body[len(body) * i // frames : len(body) * (i + 1) // frames] for i in range(frames)] if body else []
    sent = [frame.Method(1, method), frame.Header(1, len(body), pika.BasicProperties(**said))]
    return b"".join(each.marshal() for each in (*sent, *(frame.Body(1, part) for part in parts)))


def as_pika_reads(data: bytes) -> tuple[int, tuple[Any, ...]]:
    end, found = 0, list[Any]()
    for _ in range(3):
        size, read = frame.decode_frame(data[end:])
        assert read
        found.append(read)
        end += size
    method, properties = found[0].method, vars(found[1].properties)
    said = {name: properties[name] for name in SAID if name != "delivery_mode"}
    assert found[1].body_size == len(found[2].fragment)
    words = method.consumer_tag, method.delivery_tag, method.redelivered, method.exchange
    return end, (*words, said, found[2].fragment)


def test_an_everyday_delivery_is_read_as_pika_reads_it() -> None:
    """Our own messages are everyday, wherever they lie in the buffer."""
    data = delivered(SAID)
    assert delivery(data, 0) == as_pika_reads(data)
    end, message = as_pika_reads(data)
    assert delivery(b"before" + data + b"behind", 6) == (end + 6, message)


def test_whatever_is_not_all_there_is_left_to_pika() -> None:
    """A delivery is read when its last byte has come, and not before."""
    data = delivered(SAID)
    assert {delivery(data[:end], 0) for end in range(len(data))} == {None}


def test_whatever_is_unusual_is_left_to_pika() -> None:
    """Properties that we do not use or do not leave out, an empty body, several body frames, and other frames."""
    assert delivery(delivered(SAID | {"priority": 1}), 0) is None
    assert delivery(delivered(SAID | {"type": None}), 0) is None
    assert delivery(delivered(SAID, b""), 0) is None
    assert delivery(delivered(SAID, frames=2), 0) is None
    assert delivery(frame.Heartbeat().marshal(), 0) is None
    assert delivery(frame.Method(1, spec.Basic.Ack(7)).marshal() * 20, 0) is None


def test_no_bit_makes_a_difference_to_pika() -> None:
    """Of a delivery with any bit of the sender's changed, either pika says the same, or it alone says what it is."""
    data = delivered(SAID)
    alike = 0
    for place in range(data.index(b"\xb4\xe0"), len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            read = delivery(bytes(changed), 0)
            assert read is None or read == as_pika_reads(bytes(changed))
            alike += read is not None
    assert alike > 1_000


@pytest.mark.parametrize("change", [{}, {"causation_id": None, "traceparent": None}, {"type": "größte.lampe"}])
@pytest.mark.parametrize("body", [b"", b"{}", b"POPULAR-LAMP" * 20])
def test_a_message_is_written_as_pika_writes_it(change: dict[str, Any], body: bytes) -> None:
    """Byte for byte; a body that has no room in one frame is divided."""
    sent = msgspec.structs.replace(PAID, body=body, **change)
    said = properties_of(sent)
    method = spec.Basic.Publish(exchange="payment.events", routing_key=sent.type, mandatory=True)
    parts = [body[start : start + 100] for start in range(0, len(body), 100)]
    frames = frame.Method(3, method), frame.Header(3, len(body), pika.BasicProperties(**said))
    expected = b"".join(each.marshal() for each in (*frames, *(frame.Body(3, part) for part in parts)))
    assert publishing(3, "payment.events", sent.type, said, body, 100) == expected


@pytest.mark.parametrize("change", [{"correlation_id": "x" * 256}, {"version": 1 << 31}, {"producer": "\ud800"}])
def test_what_amqp_cannot_say_is_refused(change: dict[str, Any]) -> None:
    """Words that are too long, numbers that are too large, halves of characters."""
    sent = msgspec.structs.replace(PAID, **change)
    with pytest.raises((ValueError, struct.error)):
        publishing(3, "payment.events", sent.type, properties_of(sent), sent.body, 100)
