"""The frames of a message, read and written in one go: pika alone takes most of a floor's time for them.

Every message has the same properties, and every id 36 characters, so that all stands where it is expected.
"""

import struct
from functools import cache
from typing import Any

from pika import BasicProperties, frame, spec

from tests.benchmarks.floor.order import Message

CONTENT_TYPE, OCCURRED_AT, TIMESTAMP = "application/json", "2026-11-21T12:43:56.645665+00:00", 1_795_265_036
CHANNEL, METHOD, BODY, END = 1, 1, 3, b"\xce"
FRAME, METHOD_FRAME, SIZE, LENGTH = map(struct.Struct, (">BHI", ">BHII", ">I", ">Q"))
DELIVER = 60 << 16 | 60
ID, ORDER, CAUSE = b"\1" * 36, b"\2" * 36, b"\3" * 36  # to be replaced
WITHOUT_CAUSE = 100  # bytes; a table of headers without a cause is smaller, with one it is larger


def published(exchange: str, message: Message, body: bytes) -> bytes:
    """All frames of a persistent, mandatory message."""
    before, after = _frames(exchange, message.kind, message.cause is not None)
    after = after.replace(ID, message.id.encode()).replace(ORDER, message.order_id.encode())
    if message.cause:
        after = after.replace(CAUSE, message.cause.encode())
    return b"".join((before, LENGTH.pack(len(body)), after, FRAME.pack(BODY, CHANNEL, len(body)), body, END))


@cache
def _frames(exchange: str, kind: str, caused: bool) -> tuple[bytes, bytes]:
    """What stands before and behind the body's length."""
    headers: dict[str, Any] = {"version": 1, "producer": exchange.partition(".")[0], "occurred_at": OCCURRED_AT}
    properties = BasicProperties(
        content_type=CONTENT_TYPE,
        delivery_mode=2,
        type=kind,
        message_id=ID.decode(),
        correlation_id=ORDER.decode(),
        timestamp=TIMESTAMP,
        headers=headers | ({"causation_id": CAUSE.decode()} if caused else {}),
    )
    method = frame.Method(CHANNEL, spec.Basic.Publish(exchange=exchange, routing_key=kind, mandatory=True)).marshal()
    header = frame.Header(CHANNEL, 0, properties).marshal()
    place = FRAME.size + 4  # behind class and weight
    return method + header[:place], header[place + LENGTH.size :]


def delivered(data: bytes, at: int) -> tuple[int, int, Message] | None:
    """Where the delivery that begins here ends, its tag, and what it is. None: it is none, or not all there."""
    if not begins_delivery(data, at):
        return None
    try:
        consumer = data[at + METHOD_FRAME.size]
        (tag,) = LENGTH.unpack_from(data, at + METHOD_FRAME.size + 1 + consumer)
        header = at + FRAME.size + SIZE.unpack_from(data, at + 3)[0] + 1
        (length,) = LENGTH.unpack_from(data, header + FRAME.size + 4)
        body = header + FRAME.size + SIZE.unpack_from(data, header + 3)[0] + 1 + FRAME.size
    except (IndexError, struct.error):
        return None
    end = body + length + 1
    if end > len(data):
        return None
    table = header + FRAME.size + 14 + 1 + len(CONTENT_TYPE)
    (size,) = SIZE.unpack_from(data, table)
    at = table + SIZE.size + size
    cause = data[at - 36 : at].decode() if size > WITHOUT_CAUSE else None
    kind = data[at + 84 : at + 84 + data[at + 83]].decode()
    message = Message(
        data[at + 39 : at + 75].decode(), kind, data[at + 2 : at + 38].decode(), cause, data[body : end - 1]
    )
    return end, tag, message


def begins_delivery(data: bytes, at: int) -> bool:
    """Whether a delivery begins here, as far as can be seen."""
    if len(data) < at + METHOD_FRAME.size:
        return False
    kind, _, _, method = METHOD_FRAME.unpack_from(data, at)
    return bool(kind == METHOD and method == DELIVER)
