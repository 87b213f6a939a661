"""Strangers with the official SDK: it reads what the services send, and what it writes is read by them."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cloudevents.core.bindings.rabbitmq import RabbitMQMessage, from_rabbitmq_event, to_structured_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from shared.contracts import PaymentCaptured
from shared.messaging.brokers.rabbitmq.bundle import bundled, delivered
from shared.messaging.brokers.rabbitmq.wire import properties_of
from tests.contract.test_golden import BATCHES, FILES, READER, only, received

CAPTURED = "payment.captured.v1.json"
DATA = {"order_id": only(CAPTURED).correlation_id, "captured": 4998}


def as_the_sdk_has_it(event: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Attributes and data that are written so."""
    attributes = {name: value for name, value in event.items() if name != "data"}
    return attributes | {"time": datetime.fromisoformat(event["time"])}, event["data"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_sdk_reads_every_event(path: Path) -> None:
    """Its RabbitMQ binding finds the event that a service sends, attribute by attribute, from type and body alone."""
    document = json.loads(path.read_text())
    (parcel,) = bundled(received(document), 50)
    properties = properties_of(parcel)
    event = from_rabbitmq_event(RabbitMQMessage({}, properties["content_type"], parcel.body))
    assert isinstance(event, CloudEvent)
    assert (event.get_attributes(), event.get_data()) == as_the_sdk_has_it(document["body"])


@pytest.mark.parametrize("path", BATCHES, ids=lambda path: path.stem)
def test_the_sdk_reads_a_batch_event_by_event(path: Path) -> None:
    """A batch is a JSON array of what the JSON format reads."""
    document = json.loads(path.read_text())
    (parcel,) = bundled(received(document), 50)
    events = [JSONFormat().read(None, json.dumps(each)) for each in json.loads(parcel.body)]
    read = [(event.get_attributes(), event.get_data()) for event in events]
    assert read == [as_the_sdk_has_it(each) for each in document["body"]]


@pytest.mark.parametrize("data", [DATA, json.dumps(DATA).encode()], ids=["JSON", "bytes"])
def test_what_the_sdk_writes_is_read(data: Any) -> None:
    """An event with no more than a reader needs arrives like our own, also when the SDK was given bytes."""
    ours = only(CAPTURED)
    said = to_structured_event(
        CloudEvent(
            attributes={
                "id": ours.id,
                "source": "/anything",
                "type": "payment.captured",
                "time": ours.occurred_at,
                "subject": ours.correlation_id,
                "dataschema": "urn:order-fulfillment:payment.captured:1",
                "causationid": ours.causation_id,
                "traceparent": ours.traceparent,
            },
            data=data,
        )
    )
    (seen,) = delivered(
        {"content_type": said.content_type}, said.body, producer="payment", service="order", largest=9999
    )
    assert READER.open(seen) == PaymentCaptured(order_id=ours.correlation_id, captured=4998)
    assert msgspec.structs.replace(seen, body=ours.body) == ours
    assert seen.occurred_at.tzinfo is UTC
