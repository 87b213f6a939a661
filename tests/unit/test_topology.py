"""What has to exist at the broker follows from who handles what."""

import base64
import hashlib
import json
import re
from typing import ClassVar

import pytest

from shared.messaging.topology import Binding, topology


class LampRequested:
    type: ClassVar[str] = "lamp.requested"
    version: ClassVar[int] = 1
    producer: ClassVar[str] = "shop"
    order_id: str


class LampPacked(LampRequested):
    type: ClassVar[str] = "lamp.packed"
    producer: ClassVar[str] = "store"


class LampPackedTwice(LampPacked):
    version: ClassVar[int] = 2


SHOP_AND_STORE = topology({"shop": [LampPacked], "store": [LampRequested]})


def test_each_service_has_an_exchange_an_inbox_and_dead_letters() -> None:
    """Names follow from the service's name."""
    assert SHOP_AND_STORE.exchanges == {"dlx": "direct", "shop.events": "topic", "store.events": "topic"}
    assert sorted(SHOP_AND_STORE.queues) == ["shop.dlq", "shop.inbox", "store.dlq", "store.inbox"]


def test_bindings_are_exact() -> None:
    """An inbox is bound to the producer's exchange by the type itself, and a dead-letter queue by its own name."""
    assert sorted(SHOP_AND_STORE.bindings) == [
        Binding("dlx", "shop.dlq", "shop.dlq"),
        Binding("dlx", "store.dlq", "store.dlq"),
        Binding("shop.events", "lamp.requested", "store.inbox"),
        Binding("store.events", "lamp.packed", "shop.inbox"),
    ]


def test_queues_carry_what_correctness_needs() -> None:
    """An inbox is a quorum queue that never drops: dead-lettered at least once, and only after many deliveries; and it
    refuses what is too much."""
    assert SHOP_AND_STORE.queues["shop.inbox"] == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 1_000,
        "x-dead-letter-exchange": "dlx",
        "x-dead-letter-routing-key": "shop.dlq",
        "x-dead-letter-strategy": "at-least-once",
        "x-max-length-bytes": 256 * 1024 * 1024,
        "x-overflow": "reject-publish",
    }
    assert SHOP_AND_STORE.queues["shop.dlq"] == {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}


def test_versions_of_a_type_share_a_binding() -> None:
    """Several workflow versions are the union of what they handle."""
    both = topology({"shop": [LampPacked, LampPackedTwice], "store": [LampRequested]})
    assert both == SHOP_AND_STORE


def test_nobody_handles_what_nobody_says() -> None:
    """A message whose producer is no service is a mistake that is named."""
    with pytest.raises(ValueError, match="unknown producers: store"):
        topology({"shop": [LampPacked]})


def test_a_service_may_say_only_what_it_says() -> None:
    """The topic permission matches the service's own types, whole and literally, and nothing else."""
    definitions = SHOP_AND_STORE.definitions({"shop": "a", "store": "b"})
    (shop, store) = definitions["topic_permissions"]
    assert (shop["user"], shop["exchange"]) == ("shop", "shop.events")
    assert re.search(shop["write"], "lamp.requested")
    for foreign in ("lamp.packed", "lamp.requested.twice", "a.lamp.requested", "lampXrequested", ""):
        assert not re.search(shop["write"], foreign)
    assert re.search(store["write"], "lamp.packed")


def test_a_silent_service_may_say_nothing() -> None:
    """Who says nothing that anybody handles cannot publish any key."""
    quiet = topology({"shop": [], "museum": [LampRequested]})
    permissions = quiet.definitions({"shop": "a", "museum": "b"})["topic_permissions"]
    assert {each["user"]: each["write"] for each in permissions}["museum"] == "^$"


def test_users_may_read_their_queues_and_write_to_their_exchange() -> None:
    """Nobody but `provision` may declare; no pattern matches a longer name."""
    definitions = SHOP_AND_STORE.definitions({"shop": "a", "store": "b", "provision": "c"}, vhost="orders")
    shop, _, provision = definitions["permissions"]
    assert shop["configure"] == "^$"
    assert [name for name in SHOP_AND_STORE.exchanges if re.search(shop["write"], name)] == ["shop.events"]
    assert sorted(name for name in SHOP_AND_STORE.queues if re.search(shop["read"], name)) == ["shop.dlq", "shop.inbox"]
    assert not re.search(shop["read"], "shop.inbox.2")
    assert (provision["user"], provision["configure"], provision["vhost"]) == ("provision", ".*", "orders")


def test_passwords_are_kept_as_salted_hashes() -> None:
    """The file holds no password, and RabbitMQ can check one against it."""
    definitions = SHOP_AND_STORE.definitions({"shop": "hush", "store": "hush"})
    assert "hush" not in json.dumps(definitions)
    first, second = (base64.b64decode(user["password_hash"]) for user in definitions["users"])
    assert first != second
    assert first[4:] == hashlib.sha256(first[:4] + b"hush").digest()


@pytest.mark.parametrize("passwords", [{"shop": "a"}, {"shop": "a", "store": "b", "guest": "guest"}])
def test_every_service_needs_a_password_and_nobody_else_gets_one(passwords: dict[str, str]) -> None:
    """A missing or superfluous user is named."""
    with pytest.raises(ValueError, match=r"store|guest"):
        SHOP_AND_STORE.definitions(passwords)
