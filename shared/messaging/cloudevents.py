"""CloudEvents 1.0 in their JSON format: how an event looks to everybody outside, alone or in a batch.

`subject` and `correlationid` are the order. `dataschema` says of which version the data is; it is the `$id` of the
schema that /asyncapi.json publishes.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from shared.messaging.envelope import CONTENT_TYPE, Envelope

EVENT = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
SCHEMAS = "urn:order-fulfillment:"
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Required = Annotated[str, Meta(min_length=1)]


class CloudEvent(Struct, kw_only=True, omit_defaults=True):
    """The attributes of an event, and its data as they stand in the JSON. Extensions that are not here are ignored."""

    specversion: Literal["1.0"]
    id: Required
    source: Required
    type: Required
    time: Annotated[datetime, Meta(tz=True)] | None = None
    subject: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    correlationid: str | None = None
    causationid: str | None = None
    traceparent: str | None = None
    data: Raw = Raw(b"null")
    data_base64: bytes | None = None

    @property
    def version(self) -> int:
        """The version of the data's schema; 0 for one that is none of ours."""
        schema = self.dataschema or ""
        said = schema.removeprefix(schema_of(self.type, ""))
        return int(said) if said != schema and said.isascii() and said.isdecimal() and len(said) < 10 else 0

    @property
    def at(self) -> datetime | None:
        """The time in UTC; None if it is not given, or beyond the calendar there."""
        try:
            return self.time and self.time.astimezone(UTC)
        except OverflowError:
            return None

    @property
    def body(self) -> bytes:
        """The data."""
        return bytes(self.data) if self.data_base64 is None else self.data_base64


_event = msgspec.json.Decoder(CloudEvent)
_events = msgspec.json.Decoder(list[CloudEvent])
_parts = msgspec.json.Decoder(list[Raw])


def source_of(producer: str) -> str:
    """The `source` of what a service publishes."""
    return f"/{producer}"


def schema_of(type_: str, version: int | str) -> str:
    """The `dataschema` of an event, which is the `$id` of its schema."""
    return f"{SCHEMAS}{type_}:{version}"


def encode(envelope: Envelope) -> bytes:
    """One event."""
    return msgspec.json.encode(_cloud_event(envelope))


def encode_batch(envelopes: Iterable[Envelope]) -> bytes:
    """Several events, in their order."""
    return msgspec.json.encode([_cloud_event(each) for each in envelopes])


def decode(body: bytes | Raw) -> CloudEvent | Raw:
    """The event; what stands there if it cannot be read as one."""
    try:
        return _event.decode(body)
    except UNREADABLE:
        return Raw(body)


def decode_batch(body: bytes) -> list[CloudEvent | Raw]:
    """The events, each as `decode` has it; empty if it is no batch at all."""
    try:
        return list(_events.decode(body))
    except UNREADABLE:
        pass  # at least one cannot be read: each by itself
    try:
        return [decode(part) for part in _parts.decode(body)]
    except UNREADABLE:
        return []


def media_type(content_type: str) -> str:
    """A content type without its parameters: many SDKs add a charset."""
    return content_type.partition(";")[0].strip().lower()


def _cloud_event(envelope: Envelope) -> CloudEvent:
    source, schema = _constants(envelope.producer, envelope.type, envelope.version)
    return CloudEvent(
        specversion="1.0",
        id=envelope.id,
        source=source,
        type=envelope.type,
        time=envelope.occurred_at,
        subject=envelope.correlation_id,
        datacontenttype=CONTENT_TYPE,
        dataschema=schema,
        correlationid=envelope.correlation_id,
        causationid=envelope.causation_id,
        traceparent=envelope.traceparent,
        data=Raw(envelope.body),
    )


@cache
def _constants(producer: str, type_: str, version: int) -> tuple[str, str]:
    return source_of(producer), schema_of(type_, version)
