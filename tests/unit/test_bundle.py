"""Events that travel as one message, and what strangers may send in their place."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts import PaymentCaptured
from shared.messaging.brokers.rabbitmq.bundle import LARGEST, MOST, bundled, delivered
from shared.messaging.brokers.rabbitmq.wire import properties_of
from shared.messaging.envelope import BUNDLE, CONTENT_TYPE, Envelope, Reader, Unreadable
from tests.unit.test_wire import PAID

READER = Reader({PaymentCaptured.type: PaymentCaptured}, largest_body=262_144)
FIELDS = st.sampled_from(["message_id", "correlation_id", "causation_id", "occurred_at", "traceparent", "body"])
WORDS = st.none() | st.booleans() | st.integers() | st.text() | st.just(["\0"]) | st.just("\0" * 300)
PARTS = st.dictionaries(FIELDS, WORDS)


def paid(number: int, **changes: Any) -> Envelope:
    return msgspec.structs.replace(
        PAID,
        id=f"0192f0c1-2345-7678-9abc-{number:012}",
        correlation_id=f"0192f0c1-0000-7000-8000-{number:012}",
        occurred_at=PAID.occurred_at + timedelta(microseconds=number),
        body=b'{"captured": %d}' % number,
        **changes,
    )


def received(sent: Envelope) -> list[Envelope]:
    return delivered(properties_of(sent), sent.body, producer="payment", service="order", largest=1 << 30)


def bundle(body: bytes, **changes: Any) -> list[Envelope]:
    """What arrives of a bundle with this body."""
    return received(msgspec.structs.replace(PAID, content_type=BUNDLE, body=body, **changes))


envelopes = st.builds(
    paid,
    st.integers(0, 10**6),
    type=st.sampled_from(["payment.captured", "payment.reversed"]),
    version=st.integers(1, 2),
    causation_id=st.sampled_from([None, PAID.causation_id]),
    traceparent=st.sampled_from([None, PAID.traceparent]),
    content_type=st.sampled_from([CONTENT_TYPE, CONTENT_TYPE, "text/plain"]),
)


@given(said=st.lists(envelopes, max_size=12, unique_by=lambda each: each.id), most=st.integers(1, 5))
def test_what_is_said_together_arrives_whole(said: list[Envelope], most: int) -> None:
    """Every event arrives once, as it was sent, in the order of its type; in no more messages than necessary."""
    messages = list(bundled(said, most))
    for message, ids in messages:
        assert 1 <= len(ids) <= most
        assert [each.id for each in received(message)] == list(ids)
        assert (message.content_type == BUNDLE) == (len(ids) > 1)
    arrived = [each for message, _ in messages for each in received(message)]
    kinds = {(each.type, each.version, each.content_type) for each in said}
    for kind in kinds:
        same = [each for each in said if (each.type, each.version, each.content_type) == kind]
        assert [each for each in arrived if (each.type, each.version, each.content_type) == kind] == same
    assert len(arrived) == len(said)
    bundles = [ids for message, ids in messages if message.content_type == BUNDLE]
    assert sum(len(ids) == most for ids in bundles) >= len(bundles) - len(kinds)


def test_a_bundle_is_no_larger_than_is_read() -> None:
    """Large events travel in more bundles, and one that is too large in none; all of them arrive, in their order."""
    sizes = [LARGEST, 10, LARGEST // 3, LARGEST // 3, LARGEST // 3, 10, LARGEST * 2, *[LARGEST // 50] * 50]
    said = [msgspec.structs.replace(paid(each), body=b"7" * size) for each, size in enumerate(sizes)]
    messages = [message for message, _ in bundled(said, 50)]
    assert [each for message in messages for each in received(message)] == said
    assert [len(received(message)) for message in messages] == [1, 3, 2, 1, 47, 3]
    assert all(len(message.body) <= LARGEST for message in messages if message.content_type == BUNDLE)


def test_one_event_travels_as_itself() -> None:
    """Nothing is wrapped that is alone, nor what is no JSON."""
    alone, text = paid(1), paid(2, content_type="text/plain")
    assert list(bundled([alone, text], 50)) == [(alone, [alone.id]), (text, [text.id])]


def test_a_bundle_has_an_id_of_its_own() -> None:
    """It is none of its events, and belongs to no order."""
    ((message, ids),) = bundled([paid(1), paid(2)], 50)
    assert str(UUID(message.id)) == message.id
    assert message.id not in ids
    assert (message.type, message.version, message.producer) == (PAID.type, PAID.version, PAID.producer)
    assert (message.correlation_id, message.causation_id, message.traceparent) == ("", None, None)


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"[7]", b"[{}", b'[{"message_id": 7}]', b"[" * 100_000, b"\xff", b"[" + b"{}," * MOST + b"{}]"],
)
def test_a_bundle_that_cannot_be_opened_stays_whole(body: bytes) -> None:
    """It arrives as one message that the reader refuses by name: nothing of it is lost, nothing is worked by half."""
    (whole,) = bundle(body, version=PaymentCaptured.version)
    assert (whole.id, whole.body) == (PAID.id, body)
    with pytest.raises(Unreadable, match="malformed: a bundle that cannot be opened"):
        READER.open(whole)


def test_a_huge_bundle_is_not_even_looked_into() -> None:
    """Its parts could take thirty times the memory of its bytes, and kill one worker after another unsuspected."""
    body = b"[{}" + b" " * LARGEST + b"]"
    (whole,) = bundle(body, version=PaymentCaptured.version)
    with pytest.raises(Unreadable, match="oversized"):
        READER.open(whole)


def test_a_part_speaks_for_itself_only() -> None:
    """Type, version and producer are the message's; who has no proper id is given one, the same each time."""
    body = (
        b'[{"message_id": "me", "type": "stock.issued", "version": 9, "producer": "bank", "occurred_at": "soon"}, {}]'
    )
    first, second = bundle(body)
    assert [first, second] == bundle(body)
    assert first.id != second.id
    for each in (first, second):
        assert str(UUID(each.id)) == each.id
        assert (each.type, each.version, each.producer) == (PAID.type, PAID.version, "payment")
        assert (each.content_type, each.body) == (CONTENT_TYPE, b"null")
        assert each.occurred_at == datetime.fromtimestamp(0, UTC)


@given(body=st.binary() | st.lists(PARTS, max_size=3).map(msgspec.json.encode))
def test_any_body_makes_envelopes(body: bytes) -> None:
    """Whatever comes, at least one envelope with a proper id is made of it."""
    seen = bundle(body)
    assert seen
    assert all(str(UUID(each.id)) == each.id for each in seen)


def test_one_bad_part_spoils_no_other() -> None:
    """A part that cannot be read goes to the dead letters by itself."""
    good = msgspec.json.encode(PaymentCaptured(order_id=PAID.correlation_id, captured=1999))
    parts = [
        {"message_id": PAID.id, "correlation_id": PAID.correlation_id, "body": msgspec.Raw(good)},
        {"message_id": PAID.id, "correlation_id": PAID.correlation_id, "body": {"captured": "much"}},
    ]
    first, second = bundle(msgspec.json.encode(parts), version=PaymentCaptured.version)
    assert READER.open(first) == PaymentCaptured(order_id=PAID.correlation_id, captured=1999)
    with pytest.raises(Unreadable, match="malformed"):
        READER.open(second)
