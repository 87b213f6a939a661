"""An envelope as AMQP properties and headers, and back from whatever a stranger may have sent instead."""

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

from shared.messaging.envelope import MESSAGE_ID, TRACEPARENT, Envelope

PERSISTENT = 2
LONGEST = 255  # characters of a text; longer ones are cut
EPOCH = datetime.fromtimestamp(0, UTC)
STRANGERS = UUID(
    "5d3f1c4e-8f0a-5c39-9d0b-6b4c4f2f8a11"
)  # the namespace of ids made up for messages without a proper one


def properties_of(envelope: Envelope) -> dict[str, Any]:
    """The AMQP properties, headers among them, that carry everything of an envelope but its body."""
    headers: dict[str, Any] = {
        "version": envelope.version,
        "producer": envelope.producer,
        "occurred_at": envelope.occurred_at.isoformat(),
    }
    if envelope.causation_id is not None:
        headers["causation_id"] = envelope.causation_id
    if envelope.traceparent is not None:
        headers["traceparent"] = envelope.traceparent
    return {
        "message_id": envelope.id,
        "type": envelope.type,
        "correlation_id": envelope.correlation_id,
        "content_type": envelope.content_type,
        "timestamp": int(envelope.occurred_at.timestamp()),
        "delivery_mode": PERSISTENT,
        "headers": headers,
    }


def envelope_of(properties: Mapping[str, Any], body: bytes, *, producer: str, service: str) -> Envelope:
    """The envelope of a delivery to a service. Never raises: what is missing or makes no sense is empty, 0 or 1970.

    The id is always a UUID: a message without one gets the same made-up id however often it comes. The producer is
    given, and not what the message says of itself.
    """
    headers = properties.get("headers")
    headers = headers if isinstance(headers, Mapping) else {}
    said_id, traceparent = _text(properties.get("message_id")), _text(headers.get("traceparent"))
    version = headers.get("version")
    return Envelope(
        id=said_id if MESSAGE_ID.fullmatch(said_id) else made_up_id(service, said_id, body),
        type=_text(properties.get("type")),
        version=int(version) if isinstance(version, int) and 0 < version < 1 << 31 else 0,
        producer=producer,
        correlation_id=_text(properties.get("correlation_id")),
        causation_id=_text(headers.get("causation_id")) or None,
        occurred_at=_moment(headers.get("occurred_at")) or _moment(properties.get("timestamp")) or EPOCH,
        traceparent=traceparent if TRACEPARENT.fullmatch(traceparent) else None,
        content_type=_text(properties.get("content_type")),
        body=body,
    )


def user_of(properties: Mapping[str, Any]) -> str:
    """The broker user who published this: the broker has compared it with the connection. Nothing if not said."""
    return _text(properties.get("user_id"))


def drops_of(properties: Mapping[str, Any], redelivered: bool) -> int:
    """How often the broker says it delivered this before. A first delivery's count would be its sender's claim."""
    if not redelivered:
        return 0
    headers = properties.get("headers")
    counted = headers.get("x-delivery-count") if isinstance(headers, Mapping) else None
    return max(1, int(counted)) if isinstance(counted, int) else 1


def death_of(properties: Mapping[str, Any]) -> tuple[str, str]:
    """Why the broker dead-lettered this, and through which exchange it had come; by the entry that the broker wrote."""
    headers = properties.get("headers")
    deaths = headers.get("x-death") if isinstance(headers, Mapping) else None
    last = deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], Mapping) else {}
    return _text(last.get("reason")) or "unknown", _text(last.get("exchange"))


def made_up_id(service: str, said: str, body: bytes) -> str:
    """The id of a message that came to a service without a UUID."""
    return str(uuid5(STRANGERS, f"{service}\n{said}\n{sha256(body).hexdigest()}"))


def _text(value: Any) -> str:
    """No database column takes a NUL."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    return value[:LONGEST].replace("\0", "\ufffd") if isinstance(value, str) else ""


def _moment(value: Any) -> datetime | None:
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
        elif isinstance(value, int):
            moment = datetime.fromtimestamp(value, UTC)
        elif isinstance(value, datetime):
            moment = value
        else:
            return None
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None
