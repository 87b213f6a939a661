"""AMQP properties, and whatever a stranger sends instead."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messaging.brokers.rabbitmq.senders import Senders
from shared.messaging.brokers.rabbitmq.wire import LONGEST, death_of, drops_of, unopened, user_of
from shared.messaging.envelope import Envelope

PAID = Envelope(
    id="0192f0c1-2345-7678-9abc-def012345678",
    type="payment.captured",
    version=3,
    producer="payment",
    correlation_id="0192f0c1-0000-7000-8000-000000000001",
    causation_id="0192f0c1-0000-7000-8000-000000000002",
    occurred_at=datetime(2026, 11, 21, 9, 30, 0, 123456, UTC),
    traceparent=f"00-{'a' * 32}-{'b' * 16}-01",
    body=b'{"captured": 4999}',
)
ANYTHING: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.binary() | st.text() | st.datetimes() | st.just("\0" * 300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
PROPERTIES = st.sampled_from(["message_id", "type", "correlation_id", "content_type", "timestamp", "headers"])
HEADERS = st.sampled_from(["x-delivery-count", "traceparent", "x-death"])


@pytest.mark.parametrize(
    ("users", "own", "user", "exchange", "producer"),
    [
        ({}, "order", "payment", "payment.events", "payment"),
        ({}, "order", "inventory", "payment.events", "inventory"),  # a lie in a dead-letter queue
        ({}, "order", "", "payment.events", ""),
        ({"order": "o", "payment": "p"}, "o", "p", "payment.events", "payment"),
        ({"order": "o", "payment": "p"}, "o", "payment", "payment.events", "user payment"),
        ({}, "guest", "guest", "payment.events", "payment"),
        ({}, "guest", "guest", "", "user guest"),
        ({}, "guest", "payment", "payment.events", "user payment"),
        ({}, "guest", "", "payment.events", ""),
    ],
)
def test_the_brokers_user_names_the_producer(
    users: dict[str, str], own: str, user: str, exchange: str, producer: str
) -> None:
    """With a user for each service the exchange proves nothing; where all share one, only its name and the exchange are
    there to go by; a message that no user vouches for is nobody's."""
    assert Senders("order", own, users).producer(user, exchange) == producer


@given(properties=st.dictionaries(PROPERTIES, ANYTHING), headers=st.dictionaries(HEADERS, ANYTHING), body=st.binary())
def test_any_properties_make_an_envelope(properties: dict[str, Any], headers: dict[str, Any], body: bytes) -> None:
    """Whatever arrives becomes an envelope whose texts fit a column and whose id is a UUID, each time the same one."""
    said = {"headers": headers, **properties}
    seen = unopened(said, body, producer="payment", service="order")
    assert seen == unopened(said, body, producer="payment", service="order")
    assert str(UUID(seen.id)) == seen.id
    for word in (seen.type, seen.correlation_id, seen.content_type):
        assert len(word) <= LONGEST
        assert "\0" not in word
    assert seen.occurred_at.tzinfo is UTC
    assert (seen.version, seen.producer, seen.body) == (0, "payment", body)
    assert drops_of(said, False) == 0
    assert drops_of(said, True) >= 1
    assert death_of(said)
    assert "\0" not in user_of({**said, "user_id": properties.get("type")})


def test_the_broker_counts_redeliveries_only() -> None:
    """On a first delivery a count can only be the sender's invention; on later ones it is the broker's."""
    counted = {"headers": {"x-delivery-count": 7}}
    assert drops_of(counted, False) == 0
    assert drops_of(counted, True) == 7
    assert drops_of({"headers": None}, True) == 1


def test_the_last_death_is_the_brokers() -> None:
    """The newest entry of x-death tells the reason and the exchange; what the sender wrote behind it does not."""
    deaths = [{"reason": "delivery_limit", "exchange": "payment.events"}, {"reason": "old age", "exchange": "mine"}]
    assert death_of({"headers": {"x-death": deaths, "x-first-death-reason": "old age"}}) == (
        "delivery_limit",
        "payment.events",
    )
    assert death_of({"headers": {}}) == ("unknown", "")
