"""What travels: an event's JSON with everything a stranger needs to route, trace, repeat or refuse it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec
from msgspec import Struct

from shared.ids import NewId
from shared.values import changed

CONTENT_TYPE = "application/json"
BEGINNING = 4_096  # bytes that are kept of an oversized body
MESSAGE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


Key = tuple[str, str]  # producer and message id: no producer can use up another's ids


class Message(Protocol):
    """What the mechanism needs to know of an event: its wire type, schema version, producer and order."""

    type: ClassVar[str]
    version: ClassVar[int]
    producer: ClassVar[str]

    @property
    def order_id(self) -> str: ...


class Cut(Struct, frozen=True, kw_only=True):
    """What a body was of which only the beginning is here: its bytes, and their SHA-256 in hexadecimal."""

    size: int
    digest: str


class Envelope(Struct, frozen=True, kw_only=True):
    """One message. `id` is a UUIDv7, its producer's own; `correlation_id` is the order id.

    Version 0 is what cannot be read as an event: its body is all that came.
    """

    id: str
    type: str
    version: int
    producer: str
    correlation_id: str
    causation_id: str | None
    occurred_at: datetime
    traceparent: str | None = None
    content_type: str = CONTENT_TYPE
    body: bytes
    cut: Cut | None = None

    @property
    def key(self) -> Key:
        """What the inbox knows it by."""
        return self.producer, self.id

    @property
    def size(self) -> int:
        """How many bytes the whole body has."""
        return self.cut.size if self.cut else len(self.body)

    @property
    def digest(self) -> str:
        """SHA-256 of the whole body, in hexadecimal."""
        return self.cut.digest if self.cut else sha256(self.body).hexdigest()


def enclose(
    message: Message, *, at: datetime, new_id: NewId, cause: Envelope | None = None, traceparent: str | None = None
) -> Envelope:
    """Put a message into an envelope; the cause passes on its id and its trace, which else may be given."""
    return Envelope(
        id=new_id(at),
        type=message.type,
        version=message.version,
        producer=message.producer,
        correlation_id=message.order_id,
        causation_id=cause.id if cause else None,
        occurred_at=at.astimezone(UTC),
        traceparent=cause.traceparent if cause else traceparent,
        body=msgspec.json.encode(message),
    )


def shortened(envelope: Envelope, largest: int) -> Envelope:
    """With no more than the beginning of a body that is larger than this many bytes: nobody will read it."""
    if envelope.size <= largest or envelope.cut:
        return envelope
    cut = Cut(size=envelope.size, digest=envelope.digest)
    return changed(envelope, body=bytes(envelope.body[:BEGINNING]), cut=cut)


class Unreadable(Exception):
    """This delivery can never be handled as it is; the text says why, for the dead letters."""


M = TypeVar("M")


def versions(message: type[Any]) -> list[type[Any]]:
    """A message's class, and those of its older versions that are still read, the newest first."""
    found = [message]
    while older := getattr(found[-1], "older", None):
        found.append(older)
    return found


class Reader:
    """Opens envelopes whose types are `known`, tolerating unknown fields and nothing else.

    A message class may name the class of the version before as its `older`, whose `newer` makes the next version of a
    message; so every version that is still read arrives as the one that handlers know.
    """

    def __init__(self, known: Mapping[str, type[Any]], largest_body: int) -> None:
        self.largest_body = largest_body
        self._known = {
            name: (message.producer, {each.version: msgspec.json.Decoder(each) for each in versions(message)})
            for name, message in known.items()
        }

    def open(self, envelope: Envelope) -> Any:
        """The typed message inside; raises Unreadable with the reason."""
        if envelope.cut or envelope.size > self.largest_body:
            raise Unreadable(f"oversized: {envelope.size} bytes, at most {self.largest_body} are read")
        if not envelope.version:
            raise Unreadable(
                f"malformed: {envelope.content_type[:100]!r} that is no event with a schema of this system"
            )
        message = self._decoded(envelope)
        if message.order_id != envelope.correlation_id:
            raise Unreadable("malformed: the correlation id is not the order id of the body")
        return message

    def _decoded(self, envelope: Envelope) -> Any:
        if envelope.type not in self._known:
            raise Unreadable(f"unknown_type: {envelope.type[:100]!r}")
        producer, decoders = self._known[envelope.type]
        if envelope.producer != producer:
            sender = repr(envelope.producer[:100]) if envelope.producer else "nobody whom the broker knows"
            raise Unreadable(f"forged_sender: {envelope.type} from {sender} instead of {producer!r}")
        if envelope.version not in decoders:
            read = " and ".join(map(str, sorted(decoders)))
            raise Unreadable(f"unsupported_version: {envelope.type} version {envelope.version}, {read} can be read")
        if envelope.content_type != CONTENT_TYPE:
            raise Unreadable(f"content_type: {envelope.content_type[:100]!r} instead of {CONTENT_TYPE}")
        try:
            message = decoders[envelope.version].decode(envelope.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Unreadable(f"malformed: {error}") from error
        newest = next(iter(decoders))
        while message.version != newest:
            message = message.newer()
        return message
