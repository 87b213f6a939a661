"""An everyday message's frames, read and written in one go; pika does it one by one, which takes twice as long."""

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pika import frame, spec
from pika.data import decode_short_string, decode_table

METHOD, HEADER, BODY, END, DELIVER = 1, 2, 3, 0xCE, 60 << 16 | 60
# content_type, headers, delivery_mode, correlation_id, message_id, timestamp and type:
EVERYDAY = HEADER, 60, 0b1011_0100_1110_0000
FRAME, METHOD_FRAME, HEADER_FRAME, TAG, MOMENT = map(struct.Struct, (">BHI", ">BHII", ">BHIHHQH", ">Q?", ">Q"))


def delivery(data: bytes, at: int) -> tuple[int, tuple[Any, ...]] | None:
    """The end of the delivery that begins there, and its consumer, tag, redelivered, exchange, properties and body.

    None if it is not all there, or has other properties than ours, or several body frames: then it is for pika to read.
    """
    try:
        kind, channel, size, method = METHOD_FRAME.unpack_from(data, at)
        if kind != METHOD or method != DELIVER:
            return None
        consumer, next_at = decode_short_string(data, at + METHOD_FRAME.size)
        tag, redelivered = TAG.unpack_from(data, next_at)
        exchange, _ = decode_short_string(data, next_at + TAG.size)
        at += FRAME.size + size + 1
        kind, _, size, about, _, length, flags = HEADER_FRAME.unpack_from(data, at)
        body = at + FRAME.size + size + 1
        end = body + FRAME.size + length
        ends = data[at - 1], data[body - 1], data[end]
        plain = (kind, about, flags) == EVERYDAY and FRAME.unpack_from(data, body) == (BODY, channel, length)
        said: dict[str, Any] = {}
        said["content_type"], at = decode_short_string(data, at + HEADER_FRAME.size)
        said["headers"], at = decode_table(data, at)
        said["correlation_id"], at = decode_short_string(data, at + 1)  # behind the delivery mode
        said["message_id"], at = decode_short_string(data, at)
        (said["timestamp"],) = MOMENT.unpack_from(data, at)
        said["type"], at = decode_short_string(data, at + MOMENT.size)
    except Exception:  # whatever strangers may send: pika will meet it again
        return None
    read = consumer, tag, redelivered, exchange, said, data[end - length : end]
    return (end + 1, read) if plain and at == body - 1 and ends == (END, END, END) else None


def publishing(channel: int, exchange: str, key: str, said: Mapping[str, Any], body: bytes, room: int) -> bytes:
    """The frames of a mandatory message with everyday properties, with `room` bytes for a body in each frame.

    Raises ValueError or struct.error for what AMQP cannot say.
    """
    table = b"".join([_word(name) + _value(value) for name, value in said["headers"].items()])
    headers = struct.pack(">I", len(table)) + table + bytes((said["delivery_mode"],))
    ids = _short(said["correlation_id"]), _short(said["message_id"]), MOMENT.pack(said["timestamp"])
    words = b"".join((_word(said["content_type"]), headers, *ids, _word(said["type"])))
    size = HEADER_FRAME.size - FRAME.size + len(words)
    header = HEADER_FRAME.pack(HEADER, channel, size, EVERYDAY[1], 0, len(body), EVERYDAY[2])
    parts = [body[place : place + room] for place in range(0, len(body), room)]
    bodies = [FRAME.pack(BODY, channel, len(part)) + part + b"\xce" for part in parts]
    return b"".join((_method(channel, exchange, key), header, words, b"\xce", *bodies))


@lru_cache(1_000)
def _method(channel: int, exchange: str, key: str) -> bytes:
    return frame.Method(channel, spec.Basic.Publish(exchange=exchange, routing_key=key, mandatory=True)).marshal()


def _short(text: str) -> bytes:
    return bytes((len(data := text.encode()),)) + data


_word = lru_cache(1_000)(_short)  # for what is said again and again


def _value(value: str | int) -> bytes:
    if isinstance(value, int):
        return b"I" + struct.pack(">i", value)
    return b"S" + struct.pack(">I", len(data := value.encode())) + data
