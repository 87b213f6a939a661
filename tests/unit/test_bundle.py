"""Events as CloudEvents, alone and together, and what strangers may send in their place."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts import PaymentCaptured
from shared.messaging.brokers.rabbitmq.bundle import LARGEST, MOST, ROOM, bundled, delivered
from shared.messaging.brokers.rabbitmq.wire import Parcel, properties_of
from shared.messaging.cloudevents import BATCH, EVENT, schema_of
from shared.messaging.envelope import BEGINNING, CONTENT_TYPE, Envelope, Reader, Unreadable
from tests.unit.test_wire import PAID

LIMIT = 262_144
READER = Reader({PaymentCaptured.type: PaymentCaptured}, largest_body=LIMIT)
NO_EVENT = "malformed: .* no event with a schema of this system"
SCHEMA = schema_of(PAID.type, PaymentCaptured.version)
SOUND: dict[str, Any] = {
    "specversion": "1.0",
    "id": PAID.id,
    "source": "/payment",
    "type": PAID.type,
    "subject": PAID.correlation_id,
    "dataschema": SCHEMA,
    "data": {"order_id": PAID.correlation_id, "captured": 1999},
}
ATTRIBUTES = ["time", "causationid", "correlationid", "traceparent", "datacontenttype", "data_base64", "extra", *SOUND]
VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from([["\0"], "\0" * 300, "1.0", SCHEMA])
PARTS = st.dictionaries(st.sampled_from(ATTRIBUTES), VALUES) | st.dictionaries(st.sampled_from(ATTRIBUTES), VALUES).map(
    lambda some: SOUND | some
)


def paid(number: int, **changes: Any) -> Envelope:
    return msgspec.structs.replace(
        PAID,
        id=f"0192f0c1-2345-7678-9abc-{number:012}",
        correlation_id=f"0192f0c1-0000-7000-8000-{number:012}",
        occurred_at=PAID.occurred_at + timedelta(microseconds=number),
        body=b'{"captured": %d}' % number,
        **changes,
    )


def received(sent: Parcel, largest: int = 1 << 30) -> list[Envelope]:
    return delivered(properties_of(sent), sent.body, producer="payment", service="order", largest=largest)


def stranger(content_type: str, body: bytes, largest: int = LIMIT) -> list[Envelope]:
    """What arrives of a message with this body."""
    said = {"type": PAID.type, "message_id": PAID.id, "content_type": content_type}
    return delivered(said, body, producer="payment", service="order", largest=largest)


def event(**attributes: Any) -> bytes:
    """A sound event, with these attributes altered; None removes one."""
    return json.dumps({name: each for name, each in (SOUND | attributes).items() if each is not None}).encode()


envelopes = st.builds(
    paid,
    st.integers(0, 10**6),
    type=st.sampled_from(["payment.captured", "payment.reversed"]),
    version=st.integers(1, 2),
    causation_id=st.sampled_from([None, PAID.causation_id]),
    traceparent=st.sampled_from([None, PAID.traceparent]),
)


@given(said=st.lists(envelopes, max_size=12, unique_by=lambda each: each.id), most=st.integers(1, 5))
def test_what_is_said_together_arrives_whole(said: list[Envelope], most: int) -> None:
    """Every event arrives once, as it was sent, in the order of its type; in no more messages than necessary."""
    parcels = list(bundled(said, most))
    for parcel in parcels:
        assert 1 <= len(parcel.events) <= most
        assert [each.id for each in received(parcel)] == list(parcel.events)
        assert parcel.content_type == (BATCH if len(parcel.events) > 1 else EVENT)
    arrived = [each for parcel in parcels for each in received(parcel)]
    kinds = {(each.type, each.version) for each in said}
    for kind in kinds:
        same = [each for each in said if (each.type, each.version) == kind]
        assert [each for each in arrived if (each.type, each.version) == kind] == same
    assert len(arrived) == len(said)
    bundles = [parcel.events for parcel in parcels if parcel.content_type == BATCH]
    assert sum(len(ids) == most for ids in bundles) >= len(bundles) - len(kinds)


def test_a_bundle_is_no_larger_than_is_read() -> None:
    """Large events travel in more bundles, and one that is too large in none; all of them arrive, in their order."""
    sizes = [LARGEST, 10, LARGEST // 3, LARGEST // 3, LARGEST // 3, 10, LARGEST * 2, *[LARGEST // 50] * 50]
    said = [msgspec.structs.replace(paid(each), body=b"7" * size) for each, size in enumerate(sizes)]
    parcels = list(bundled(said, 50))
    assert [each for parcel in parcels for each in received(parcel)] == said
    assert [len(received(parcel)) for parcel in parcels] == [1, 3, 2, 1, 47, 3]
    assert all(len(parcel.body) <= LARGEST for parcel in parcels if parcel.content_type == BATCH)


def test_the_properties_repeat_what_the_body_says() -> None:
    """A message of one event has its id, type and order; one of several has an id of its own, and no order."""
    (alone,), (several,) = bundled([paid(1)], 50), bundled([paid(1), paid(2)], 50)
    said = properties_of(alone)
    assert (said["message_id"], said["type"], said["correlation_id"]) == (paid(1).id, PAID.type, paid(1).correlation_id)
    said = properties_of(several)
    assert str(UUID(said["message_id"])) == said["message_id"]
    assert said["message_id"] not in several.events
    assert (said["type"], said["correlation_id"]) == (PAID.type, None)


@pytest.mark.parametrize(
    "content_type", [EVENT, f"{EVENT}; charset=utf-8", "Application/CloudEvents+JSON;charset=UTF-8"]
)
def test_parameters_of_the_content_type_change_nothing(content_type: str) -> None:
    """Many SDKs add a charset, also to that of the data."""
    (seen,) = stranger(content_type, event(datacontenttype="application/json; charset=utf-8"))
    assert READER.open(seen) == PaymentCaptured(order_id=PAID.correlation_id, captured=1999)


def test_data_may_come_in_base64() -> None:
    """An SDK that was given bytes sends them so."""
    (seen,) = stranger(EVENT, event(data=None, data_base64="eyJvcmRlcl9pZCI6ICIifQ=="))
    assert seen.body == b'{"order_id": ""}'


BROKEN: dict[str, dict[str, Any]] = {
    "no specversion": {"specversion": None},
    "another specversion": {"specversion": "0.3"},
    "no id": {"id": ""},
    "no source": {"source": None},
    "no type": {"type": None},
    "a number for a type": {"type": 7},
    "no moment": {"time": "soon"},
    "a moment without a zone": {"time": "2026-11-28T12:00:00"},
    "no schema": {"dataschema": None},
    "somebody else's schema": {"dataschema": "https://example.com/payment.captured/1"},
    "another event's schema": {"dataschema": schema_of("payment.reversed", 1)},
    "version 0": {"dataschema": schema_of(PAID.type, 0)},
    "no number": {"dataschema": schema_of(PAID.type, "\u0661")},
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_is_no_event_of_ours_is_malformed(how: str) -> None:
    """Alone or between others it arrives, is refused by name, and spoils no other."""
    (alone,) = stranger(EVENT, event(**BROKEN[how]))
    with pytest.raises(Unreadable, match=NO_EVENT):
        READER.open(alone)
    first, second, third = stranger(BATCH, b"[%s, %s, %s]" % (event(), event(**BROKEN[how]), event(id="other")))
    assert READER.open(first) == READER.open(third) == PaymentCaptured(order_id=PAID.correlation_id, captured=1999)
    with pytest.raises(Unreadable, match=NO_EVENT):
        READER.open(second)
    assert len({first.id, second.id, third.id}) == (2 if second.id == PAID.id else 3)
    assert second.body


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"[{}", b"[" * 100_000, b"\xff", b"[" + b"{}," * MOST + b"{}]"])
def test_a_batch_that_cannot_be_opened_stays_whole(body: bytes) -> None:
    """It arrives as one message that the reader refuses by name: nothing of it is lost, nothing is worked by half."""
    (whole,) = stranger(BATCH, body)
    assert (whole.id, whole.body) == (PAID.id, body)
    with pytest.raises(Unreadable, match=NO_EVENT):
        READER.open(whole)


@pytest.mark.parametrize("content_type", ["", "application/json", "text/plain", "application/cloudevents"])
def test_what_is_no_cloud_event_is_not_opened(content_type: str) -> None:
    """Not even if its body is one."""
    (whole,) = stranger(content_type, event())
    assert (whole.version, whole.body, whole.type) == (0, event(), PAID.type)
    with pytest.raises(Unreadable, match=NO_EVENT):
        READER.open(whole)


@pytest.mark.parametrize(("content_type", "size"), [(BATCH, LARGEST), (EVENT, LIMIT + ROOM)])
def test_a_huge_message_is_not_even_looked_into(content_type: str, size: int) -> None:
    """Its parts could take thirty times the memory of its bytes, and kill one worker after another unsuspected."""
    (whole,) = stranger(content_type, b"[{}" + b" " * size + b"]")
    assert (len(whole.body), whole.size) == (BEGINNING, size + 4)
    with pytest.raises(Unreadable, match="oversized"):
        READER.open(whole)


def test_an_event_speaks_for_itself_only() -> None:
    """Its producer is the broker's word, whatever its source; who has no proper id is given one, the same each time."""
    body = b"[%s, %s]" % (event(id="me", source="/bank"), event(id="you", source="/bank"))
    first, second = stranger(BATCH, body)
    assert [first, second] == stranger(BATCH, body)
    assert first.id != second.id
    for each in (first, second):
        assert str(UUID(each.id)) == each.id
        assert (each.type, each.producer, each.content_type) == (PAID.type, "payment", CONTENT_TYPE)
        assert each.occurred_at == datetime.fromtimestamp(0, UTC)


@given(
    body=st.binary() | st.lists(PARTS, max_size=3).map(msgspec.json.encode),
    content_type=st.sampled_from([BATCH, EVENT]),
)
def test_any_body_makes_envelopes(body: bytes, content_type: str) -> None:
    """Whatever comes, at least one envelope is made of it, that any database can hold, each time the same one."""
    seen = stranger(content_type, body)
    assert seen == stranger(content_type, body)
    assert seen
    for each in seen:
        assert str(UUID(each.id)) == each.id
        assert each.occurred_at.tzinfo is UTC
        assert 0 <= each.version < 2**31
        for word in (each.type, each.correlation_id, each.causation_id or "", each.traceparent or ""):
            assert len(word) <= 255
            assert "\0" not in word


def test_one_bad_event_spoils_no_other() -> None:
    """Data that cannot be read goes to the dead letters by itself."""
    first, second = stranger(BATCH, b"[%s, %s]" % (event(), event(data={"captured": "much"})))
    assert READER.open(first) == PaymentCaptured(order_id=PAID.correlation_id, captured=1999)
    with pytest.raises(Unreadable, match="malformed"):
        READER.open(second)
