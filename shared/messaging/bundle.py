"""Events of one type that are said together travel as one message: most of a broker's work is per message.

A bundle is an envelope like any other, with an id of its own, whose body is a JSON array of the events with what is
particular to each. They part again where they arrive: inbox, handlers and dead letters never see a bundle.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from shared.messaging.envelope import BUNDLE, CONTENT_TYPE, Envelope, uuid7
from shared.messaging.wire import envelope_of

MOST = 1_000  # events that are read from one bundle


class _Part(Struct, kw_only=True, omit_defaults=True):
    message_id: str = ""
    correlation_id: str = ""
    causation_id: str | None = None
    occurred_at: str = ""
    traceparent: str | None = None
    body: Raw = Raw(b"null")


_parts = msgspec.json.Decoder(list[_Part])


def bundled(envelopes: Sequence[Envelope], most: int) -> Iterator[tuple[Envelope, Sequence[str]]]:
    """What to send, with the ids of the events in it: at most `most`, all of one type and version. One goes alone."""
    alike: dict[tuple[str, int, str, str], list[Envelope]] = {}
    for each in envelopes:
        alike.setdefault((each.type, each.version, each.producer, each.content_type), []).append(each)
    for kind, events in alike.items():
        size = most if kind[-1] == CONTENT_TYPE else 1
        for place in range(0, len(events), size):
            together = events[place : place + size]
            yield together[0] if len(together) == 1 else _bundle(together), [each.id for each in together]


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
    first = events[0]
    return Envelope(
        id=uuid7(first.occurred_at),
        type=first.type,
        version=first.version,
        producer=first.producer,
        correlation_id="",
        causation_id=None,
        occurred_at=first.occurred_at,
        content_type=BUNDLE,
        body=msgspec.json.encode(parts),
    )


def delivered(properties: Mapping[str, Any], body: bytes, *, exchange: str, service: str) -> list[Envelope]:
    """The events of a delivery to a service, at least one. Never raises: a bundle that cannot be opened stays whole.

    Type, version and producer are the bundle's, as the broker let it through, whatever its parts may say.
    """
    whole = envelope_of(properties, body, exchange=exchange, service=service)
    if whole.content_type != BUNDLE:
        return [whole]
    try:
        parts = _parts.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [whole]
    if not 0 < len(parts) <= MOST:
        return [whole]
    return [_opened(part, whole, exchange, service) for part in parts]


def _opened(part: _Part, whole: Envelope, exchange: str, service: str) -> Envelope:
    said = {
        "message_id": part.message_id,
        "type": whole.type,
        "correlation_id": part.correlation_id,
        "content_type": CONTENT_TYPE,
        "headers": {
            "version": whole.version,
            "producer": whole.producer,
            "occurred_at": part.occurred_at,
            "causation_id": part.causation_id,
            "traceparent": part.traceparent,
        },
    }
    return envelope_of(said, bytes(part.body), exchange=exchange, service=service)
