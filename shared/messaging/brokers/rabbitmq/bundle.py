"""Events of one type that are said together travel as one message: most of a broker's work is per message.

A bundle is a CloudEvents batch, with a message id of its own. Its events part again where they arrive: inbox, handlers
and dead letters never see a bundle.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Raw

from shared.ids import uuid7
from shared.messaging import cloudevents
from shared.messaging.brokers.rabbitmq.wire import Parcel, proper_id, text, unopened
from shared.messaging.cloudevents import CloudEvent, decode, decode_batch, encode, encode_batch, media_type
from shared.messaging.envelope import CONTENT_TYPE, TRACEPARENT, Envelope, shortened
from shared.values import changed

MOST = 1_000  # events that are read from one bundle
LARGEST = 1 << 20  # bytes of a bundle that is read: `{}` is 3 bytes on the wire, and thirty times that in memory
ROOM = 1 << 10  # bytes of an event, besides its data


def bundled(envelopes: Sequence[Envelope], most: int) -> Iterator[Parcel]:
    """What to send: at most `most` events in each, all of one type and version.

    One goes alone, and so does one that is too large to travel with others.
    """
    alike: dict[tuple[str, int, str], list[Envelope]] = {}
    for each in envelopes:
        alike.setdefault((each.type, each.version, each.producer), []).append(each)
    for events in alike.values():
        for together in _fitting(events, most):
            yield _parcel(together)


def _fitting(events: Sequence[Envelope], most: int) -> Iterator[Sequence[Envelope]]:
    first = size = 0
    for place, each in enumerate(events):
        size += len(each.body) + ROOM
        if place - first == most or (size > LARGEST and place > first):
            yield events[first:place]
            first, size = place, len(each.body) + ROOM
    yield events[first:]


def _parcel(events: Sequence[Envelope]) -> Parcel:
    first, alone = events[0], len(events) == 1
    return Parcel(
        id=first.id if alone else uuid7(first.occurred_at),
        type=first.type,
        order_id=first.correlation_id if alone else None,
        content_type=cloudevents.EVENT if alone else cloudevents.BATCH,
        at=first.occurred_at,
        body=encode(first) if alone else encode_batch(events),
        events=[each.id for each in events],
    )


def delivered(
    properties: Mapping[str, Any], body: bytes, *, producer: str, service: str, largest: int
) -> list[Envelope]:
    """The events of a delivery to a service, at least one. Never raises: what cannot be read as an event stays as it
    came, as version 0, and spoils no other. Of data larger than `largest` bytes there is the beginning only.

    The producer is the one that the broker vouches for, whatever an event says of its source.
    """
    whole = unopened(properties, body, producer=producer, service=service)
    parts: Sequence[CloudEvent | Raw] = ()
    match media_type(whole.content_type):
        case cloudevents.EVENT if len(body) <= largest + ROOM:
            parts = [decode(body)]
        case cloudevents.BATCH if len(body) <= LARGEST:
            parts = decode_batch(body)
    if not 0 < len(parts) <= MOST:
        return [shortened(whole, largest)]
    return [shortened(_envelope(part, whole, service), largest) for part in parts]


def _envelope(part: CloudEvent | Raw, whole: Envelope, service: str) -> Envelope:
    if not isinstance(part, CloudEvent):
        return _unread(bytes(part), whole, service)
    body, traceparent = part.body, part.traceparent or ""
    return Envelope(
        id=proper_id(text(part.id), service, body),
        type=text(part.type),
        version=part.version,
        producer=whole.producer,
        correlation_id=text(part.subject),
        causation_id=text(part.causationid) or None,
        occurred_at=part.at or whole.occurred_at,
        traceparent=traceparent if TRACEPARENT.fullmatch(traceparent) else None,
        content_type=media_type(text(part.datacontenttype)) or CONTENT_TYPE,
        body=body,
    )


def _unread(part: bytes, whole: Envelope, service: str) -> Envelope:
    """Of a message with one event it is the whole; of others it is a part, and has no id that can be read."""
    if len(part) == len(whole.body):
        return whole
    return changed(whole, id=proper_id("", service, part), content_type=cloudevents.EVENT, body=part)
