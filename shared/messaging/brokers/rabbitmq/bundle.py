"""Events of one type that are said together travel as one message: most of a broker's work is per message.

A bundle is an envelope like any other, with an id of its own, whose body is a JSON array of the events with what is
particular to each. They part again where they arrive: inbox, handlers and dead letters never see a bundle.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from shared.ids import uuid7
from shared.messaging.brokers.rabbitmq.wire import envelope_of
from shared.messaging.envelope import BUNDLE, CONTENT_TYPE, Envelope, shortened
from shared.values import changed

MOST = 1_000  # events that are read from one bundle
LARGEST = 1 << 20  # bytes of a bundle that is read: `{}` is 3 bytes on the wire, and thirty times that in memory
ROOM = 1 << 10  # bytes of a part, besides its body


class _Part(Struct, kw_only=True, omit_defaults=True):
    message_id: str = ""
    correlation_id: str = ""
    causation_id: str | None = None
    occurred_at: str = ""
    traceparent: str | None = None
    body: Raw = Raw(b"null")


_parts = msgspec.json.Decoder(list[_Part])


def bundled(envelopes: Sequence[Envelope], most: int) -> Iterator[tuple[Envelope, Sequence[str]]]:
    """What to send, with the ids of the events in it: at most `most`, all of one type and version.

    One goes alone, and so does one that is too large to travel with others.
    """
    alike: dict[tuple[str, int, str, str], list[Envelope]] = {}
    for each in envelopes:
        alike.setdefault((each.type, each.version, each.producer, each.content_type), []).append(each)
    for kind, events in alike.items():
        for together in _fitting(events, most if kind[-1] == CONTENT_TYPE else 1):
            yield together[0] if len(together) == 1 else _bundle(together), [each.id for each in together]


def _fitting(events: Sequence[Envelope], most: int) -> Iterator[Sequence[Envelope]]:
    first = size = 0
    for place, each in enumerate(events):
        size += len(each.body) + ROOM
        if place - first == most or (size > LARGEST and place > first):
            yield events[first:place]
            first, size = place, len(each.body) + ROOM
    yield events[first:]


def _bundle(events: Sequence[Envelope]) -> Envelope:
    parts = [
        _Part(
            message_id=each.id,
            correlation_id=each.correlation_id,
            causation_id=each.causation_id,
            occurred_at=each.occurred_at.isoformat(),
            traceparent=each.traceparent,
            body=Raw(each.body),
        )
        for each in events
    ]
    return changed(
        events[0],
        id=uuid7(events[0].occurred_at),
        correlation_id="",
        causation_id=None,
        traceparent=None,
        content_type=BUNDLE,
        body=msgspec.json.encode(parts),
    )


def delivered(
    properties: Mapping[str, Any], body: bytes, *, producer: str, service: str, largest: int
) -> list[Envelope]:
    """The events of a delivery to a service, at least one. Never raises: a bundle that cannot be opened stays whole.
    Of a body larger than `largest` bytes there is the beginning only.

    Type, version and producer are the bundle's, as the broker let it through, whatever its parts may say.
    """
    whole = envelope_of(properties, body, producer=producer, service=service)
    if whole.content_type != BUNDLE or len(body) > LARGEST:
        return [shortened(whole, largest)]
    try:
        parts = _parts.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        parts = []
    events = [_event(part, whole, service) for part in parts] if 0 < len(parts) <= MOST else [whole]
    return [shortened(each, largest) for each in events]


def _event(part: _Part, whole: Envelope, service: str) -> Envelope:
    headers = {
        "version": whole.version,
        "occurred_at": part.occurred_at,
        "causation_id": part.causation_id,
        "traceparent": part.traceparent,
    }
    said = {
        "message_id": part.message_id,
        "type": whole.type,
        "correlation_id": part.correlation_id,
        "content_type": CONTENT_TYPE,
        "headers": headers,
    }
    return envelope_of(said, bytes(part.body), producer=whole.producer, service=service)
