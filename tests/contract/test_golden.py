"""What was once on the wire stays readable: these files were written when their messages were, and never change.

A new version of a message is a new file beside the old one; a changed file is a broken promise.
"""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared import contracts
from shared.contracts import ShipmentDispatched, ShipmentRequested, StockIssued
from shared.messaging.brokers.rabbitmq.bundle import bundled, delivered
from shared.messaging.brokers.rabbitmq.wire import envelope_of, properties_of
from shared.messaging.envelope import Envelope, Reader

GOLDEN = Path(__file__).parent / "golden"
EVENTS = {each.type: each for each in vars(contracts).values() if isinstance(each, type) and hasattr(each, "type")}
READER = Reader(EVENTS, largest_body=262_144)
FILES = sorted(GOLDEN.glob("*.json"))


def producer_of(document: dict[str, Any]) -> str:
    """Who may publish to that exchange."""
    return str(document["exchange"]).removesuffix(".events")


def received(document: dict[str, Any]) -> Envelope:
    """The message of a file, as a service's consumer gets it."""
    body = msgspec.json.encode(document["body"])
    return envelope_of(document["properties"], body, producer=producer_of(document), service="payment")


def read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((GOLDEN / name).read_text())
    return document


def test_every_event_has_its_file() -> None:
    """Whoever adds an event, or a version of one, adds an example of what is then on the wire."""
    assert {path.name for path in FILES} >= {f"{name}.v{event.version}.json" for name, event in EVENTS.items()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_was_written_is_read_and_would_be_written_again(path: Path) -> None:
    """Each message arrives with everything in it, and said again today it is the same, property by property."""
    document = read(path.name)
    envelope = received(document)
    message = READER.open(envelope)
    assert path.name == f"{message.type}.v{message.version}.json"
    assert message.order_id == envelope.correlation_id
    assert msgspec.json.encode(message) == msgspec.json.encode(document["body"])
    assert properties_of(envelope) == document["properties"]
    assert envelope.occurred_at == datetime.fromisoformat("2024-10-27T11:00:00.250Z")
    assert envelope.occurred_at.utcoffset() == timedelta()


def test_what_an_older_writer_did_not_know_is_not_missed() -> None:
    """Without cause, trace, producer and timestamp it is read all the same; who sent it is told by the broker."""
    document = read("other_writers/payment.requested.v1.older.json")
    envelope = received(document)
    assert READER.open(envelope) == READER.open(received(read("payment.requested.v1.json")))
    assert (envelope.producer, envelope.causation_id, envelope.traceparent) == ("order", None, None)


def test_what_a_newer_writer_adds_is_ignored() -> None:
    """Unknown properties, headers and fields, also within lines and addresses, change nothing."""
    newer = READER.open(received(read("other_writers/shipment.requested.v1.newer.json")))
    assert isinstance(newer, ShipmentRequested)
    assert newer == READER.open(received(read("shipment.requested.v1.json")))


def test_which_parcel_left_is_told_by_later_writers_only() -> None:
    """Without carrier and number a dispatch is read, and written, as it was; with them, they are there."""
    told = READER.open(received(read("other_writers/shipment.dispatched.v1.newer.json")))
    assert isinstance(told, ShipmentDispatched)
    assert (told.carrier, told.tracking_number) == ("northwind-parcels", "NW0123456789ABCD")
    assert msgspec.to_builtins(told) == read("other_writers/shipment.dispatched.v1.newer.json")["body"]


def test_a_bundle_is_read_and_would_be_written_again() -> None:
    """Its events are those that also travel alone; said together today they make the same body and properties."""
    document = read("bundles/stock.issued.v1.json")
    body = msgspec.json.encode(document["body"])
    events = delivered(document["properties"], body, producer=producer_of(document), service="order", largest=1 << 20)
    for event, part in zip(events, document["body"], strict=True):
        said = READER.open(event), event.id, event.causation_id, event.traceparent
        assert said == (StockIssued(**part["body"]), *map(part.get, ("message_id", "causation_id", "traceparent")))
        assert event.occurred_at == datetime.fromisoformat(part["occurred_at"])
    ((message, _),) = bundled(events, 50)
    assert msgspec.json.decode(message.body) == document["body"]
    assert properties_of(message) | {"message_id": ""} == document["properties"] | {"message_id": ""}
