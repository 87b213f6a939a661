"""AMQP properties: those of what is sent, and whatever a stranger may have sent instead."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

from msgspec import Struct

from shared.messaging.envelope import MESSAGE_ID, Envelope

PERSISTENT = 2
LONGEST = 255  # characters of a text; longer ones are cut
EPOCH = datetime.fromtimestamp(0, UTC)
STRANGERS = UUID(
    "5d3f1c4e-8f0a-5c39-9d0b-6b4c4f2f8a11"
)  # the namespace of ids made up for messages without a proper one


class Parcel(Struct, frozen=True, kw_only=True):
    """One AMQP message: the body, what routing and operators need of it, and the ids of the events in it."""

    id: str
    type: str
    order_id: str | None  # None: of several
    content_type: str
    at: datetime
    body: bytes
    events: Sequence[str]


def properties_of(parcel: Parcel) -> dict[str, Any]:
    """The AMQP properties. They repeat what is in the body: whoever reads events needs none of them."""
    return {
        "message_id": parcel.id,
        "type": parcel.type,
        "correlation_id": parcel.order_id,
        "content_type": parcel.content_type,
        "timestamp": int(parcel.at.timestamp()),
        "delivery_mode": PERSISTENT,
    }


def unopened(properties: Mapping[str, Any], body: bytes, *, producer: str, service: str) -> Envelope:
    """The envelope of a delivery to a service whose body is not looked into: its version is 0.

    Never raises: what is missing or makes no sense is empty, or 1970. The id is always a UUID: a message without one
    gets the same made-up id however often it comes.
    """
    return Envelope(
        id=proper_id(text(properties.get("message_id")), service, body),
        type=text(properties.get("type")),
        version=0,
        producer=producer,
        correlation_id=text(properties.get("correlation_id")),
        causation_id=None,
        occurred_at=_moment(properties.get("timestamp")),
        content_type=text(properties.get("content_type")),
        body=body,
    )


def user_of(properties: Mapping[str, Any]) -> str:
    """The broker user who published this: the broker has compared it with the connection. Nothing if not said."""
    return text(properties.get("user_id"))


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
    return text(last.get("reason")) or "unknown", text(last.get("exchange"))


def proper_id(said: str, service: str, body: bytes) -> str:
    """What it says if that is a UUID; else one that is made up for a message that came to this service."""
    if MESSAGE_ID.fullmatch(said):
        return said
    return str(uuid5(STRANGERS, f"{service}\n{said}\n{sha256(body).hexdigest()}"))


def text(value: Any) -> str:
    """A text that is not too long, and has no NUL, which no database column takes; empty for anything else."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    return value[:LONGEST].replace("\0", "\ufffd") if isinstance(value, str) else ""


def _moment(value: Any) -> datetime:
    try:
        return datetime.fromtimestamp(value, UTC) if isinstance(value, int) else EPOCH
    except (ValueError, OverflowError, OSError):
        return EPOCH
