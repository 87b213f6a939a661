"""What was once on the wire stays readable: these files were written when their messages were, and never change.

A new version of a message is a new file beside the old one; a changed file is a broken promise.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.asyncapi import EVENTS
from shared.contracts import ShipmentDispatched, ShipmentRequested
from shared.messaging.brokers.rabbitmq.bundle import bundled, delivered
from shared.messaging.brokers.rabbitmq.wire import properties_of
from shared.messaging.envelope import Envelope, Reader, versions

ROOT = Path(__file__).parents[2]
EXAMPLES, GOLDEN = ROOT / "shared" / "examples", ROOT / "tests" / "contract" / "golden"
READER = Reader(EVENTS, largest_body=262_144)
FILES = sorted(EXAMPLES.glob("*.json"))
BATCHES = sorted(GOLDEN.glob("batches/*.json"))


def received(document: dict[str, Any]) -> list[Envelope]:
    """The events of a file, as a service's consumer gets them."""
    body = msgspec.json.encode(document["body"])
    producer = str(document["exchange"]).removesuffix(".events")  # who may publish there
    return delivered(document["properties"], body, producer=producer, service="payment", largest=262_144)


def read(name: str) -> dict[str, Any]:
    folder = GOLDEN if "/" in name else EXAMPLES
    document: dict[str, Any] = json.loads((folder / name).read_text())
    return document


def only(name: str) -> Envelope:
    """The one event of this file."""
    (envelope,) = received(read(name))
    return envelope


def test_every_event_has_its_file() -> None:
    """Whoever adds an event, or a version of one, adds an example of what is then on the wire."""
    every = [each for event in EVENTS.values() for each in versions(event)]
    assert {path.name for path in FILES} >= {f"{each.type}.v{each.version}.json" for each in every}


@pytest.mark.parametrize("path", [*FILES, *BATCHES], ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_was_written_is_read_and_would_be_written_again(path: Path) -> None:
    """Each message arrives with everything in it, and said again today it is the same, byte for byte but for the id of
    a batch."""
    document = json.loads(path.read_text())
    events = received(document)
    for envelope in events:
        message = READER.open(envelope)
        assert path.name == f"{message.type}.v{message.version}.json"
        assert message.order_id == envelope.correlation_id
        assert envelope.occurred_at == datetime.fromisoformat("2024-10-27T11:00:00.250Z")
        assert envelope.occurred_at.utcoffset() == timedelta()
    (parcel,) = bundled(events, 50)
    assert parcel.body == msgspec.json.encode(document["body"])
    said = {name: value for name, value in properties_of(parcel).items() if value is not None}
    assert said | {"message_id": ""} == document["properties"] | {"message_id": ""}


def test_what_an_older_writer_did_not_know_is_not_missed() -> None:
    """Without cause, trace, time and timestamp it is read all the same."""
    envelope = only("other_writers/payment.requested.v1.older.json")
    assert READER.open(envelope) == READER.open(only("payment.requested.v1.json"))
    assert (envelope.producer, envelope.causation_id, envelope.traceparent) == ("order", None, None)
    assert envelope.occurred_at == datetime.fromtimestamp(0, UTC)


def test_what_a_newer_writer_adds_is_ignored() -> None:
    """Unknown properties, extensions and fields, also within lines and addresses, change nothing."""
    newer = READER.open(only("other_writers/shipment.requested.v1.newer.json"))
    assert isinstance(newer, ShipmentRequested)
    assert newer == READER.open(only("shipment.requested.v1.json"))


def test_which_parcel_left_is_told_by_later_writers_only() -> None:
    """Without carrier and number a dispatch is read, and written, as it was; with them, they are there."""
    told = READER.open(only("other_writers/shipment.dispatched.v1.newer.json"))
    assert isinstance(told, ShipmentDispatched)
    assert (told.carrier, told.tracking_number) == ("northwind-parcels", "NW0123456789ABCD")
    assert msgspec.to_builtins(told) == read("other_writers/shipment.dispatched.v1.newer.json")["body"]["data"]
