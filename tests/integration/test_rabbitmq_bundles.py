"""Events that travel together: what a bundle shares, and what each event keeps for itself."""

import random
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from msgspec.structs import replace

from order_service.cli.stack import RabbitMQServer
from shared.messaging.broker import Delivery
from shared.messaging.brokers.rabbitmq import RabbitMQ
from shared.messaging.envelope import Envelope
from tests.contract.test_broker import (
    DEADLINE,
    TOPOLOGY,
    LampAdmired,
    LampForgotten,
    World,
    envelope,
    nothing_comes,
    reject,
    settle,
    take,
    take_all,
)

BUNDLE = 10


@pytest.fixture
def world(broker_url: str) -> Iterator[World]:
    broker = RabbitMQ(broker_url, bundle=BUNDLE)
    broker.provision(TOPOLOGY, settle=0)
    made = World(broker, lambda _service: None)
    yield made
    for connection in made.opened:
        connection.close()


def waiting(server: RabbitMQServer, broker_url: str) -> dict[str, int]:
    """How many messages are in each queue."""
    vhost = broker_url.rsplit("/", 1)[1]
    lines = server.control("list_queues", "-p", vhost, "--no-table-headers", "name", "messages")
    return {name: int(count) for name, count in (line.split() for line in str(lines).splitlines() if line)}


def ids(deliveries: list[Delivery]) -> list[str]:
    return [each.envelope.id for each in deliveries]


def some(count: int) -> list[Envelope]:
    return [envelope(order=number) for number in range(count)]


def test_what_is_said_together_travels_together(world: World, rabbitmq_server: RabbitMQServer, broker_url: str) -> None:
    """Thirty events of two types are four messages, each event arrives whole, and each is confirmed."""
    shop, store = world.connect("shop"), world.connect("store")
    sent = [*some(25), *(envelope(LampAdmired, order=number) for number in range(5))]
    shop.publish(sent)
    store.prefetch(100)
    taken = take(store, 30)
    assert [each.envelope for each in taken] == sent
    assert len({each.tag for each in taken}) == 30
    end = time.monotonic() + DEADLINE
    while (counts := waiting(rabbitmq_server, broker_url)) and (counts["store.inbox"], counts["museum.inbox"]) != (
        4,
        1,
    ):
        assert time.monotonic() < end, counts
    store.acknowledge(taken)
    museum = world.connect("museum")
    museum.acknowledge(take(museum, 5))
    confirmed, refused = settle(shop, 30)
    assert (sorted(confirmed), refused) == (sorted(each.id for each in sent), {})


def test_a_bundle_comes_again_until_all_of_it_is_acknowledged(world: World) -> None:
    """Who acknowledges a part only gets the whole again, for the inbox to recognize; then nothing more."""
    sent = some(BUNDLE + 3)
    world.connect("shop").publish(sent)
    store = world.connect("store")
    store.prefetch(100)
    taken = take(store, len(sent))
    store.acknowledge(taken[1:BUNDLE])  # all but the first
    store.acknowledge(taken[BUNDLE:])
    store.close()
    store = world.connect("store")
    again = take(store, BUNDLE)
    assert ids(again) == ids(taken[:BUNDLE])
    assert {each.drops for each in again} == {1}
    for each in reversed(again):
        store.acknowledge([each, each])
    store.close()
    assert nothing_comes(world.connect("store"))


def test_parts_may_be_acknowledged_in_any_order(world: World) -> None:
    """The last part of a message acknowledges it, whatever else is still held."""
    world.connect("shop").publish(some(3 * BUNDLE))
    store = world.connect("store")
    store.prefetch(100)
    taken = take(store, 3 * BUNDLE)
    first, second, third = (taken[place : place + BUNDLE] for place in range(0, len(taken), BUNDLE))
    store.acknowledge([*third[::2], *second[::2]])
    store.acknowledge([*second[1::2], *third[1::2]])
    store.close()
    assert ids(take_all(world.connect("store"))) == ids(first)


def test_prefetch_counts_events(world: World) -> None:
    """So many events are held at most, in full bundles or not; a single bundle is always let through."""
    world.connect("shop").publish(some(6 * BUNDLE))
    store = world.connect("store")
    assert len(take_all(store)) == BUNDLE
    store.prefetch(3 * BUNDLE)
    assert len(take_all(store)) in (3 * BUNDLE, 2 * BUNDLE)


def test_prefetch_learns_how_much_travels_together(world: World) -> None:
    """Where events come alone, as from a calm day, about as many messages are held as events were asked for; where they
    come in bundles again, about as many in all. It is a guess, and right to a factor of two."""
    shop, store = world.connect("shop"), world.connect("store")

    def work(count: int) -> None:
        for _ in range(count):
            store.acknowledge(take(store, 1))
            store.prefetch(4 * BUNDLE)

    for each in some(130):
        shop.publish([each])
    work(100)
    alone = take_all(store)
    assert len(alone) >= 2 * BUNDLE
    store.acknowledge(alone)
    shop.publish(some(70 * BUNDLE))
    work(60 * BUNDLE)
    assert len(take_all(store)) < 2 * 4 * BUNDLE


def test_halves_of_bundles_survive_all_changes(world: World) -> None:
    """However batches cut bundles, whatever is held meanwhile, however the prefetch changes, in large messages and in
    small ones: each event comes once, and when the last is acknowledged nothing is left."""
    chance = random.Random(3)
    sizes = zip(some(400), chance.choices([0, 5_000, 30_000], k=400), strict=True)
    sent = [replace(each, body=b"{" + b" " * size + each.body[1:]) for each, size in sizes]
    shop, store = world.connect("shop"), world.connect("store")
    for first, last in pairwise(sorted({0, 400, *chance.sample(range(400), 30)})):
        shop.publish(sent[first:last])
    held: list[Delivery] = []
    seen: list[Envelope] = []
    end = time.monotonic() + DEADLINE
    while len(seen) < len(sent) or held:
        assert time.monotonic() < end
        new = store.take(chance.randint(1, 30), 0.0 if held else 0.5)
        assert shop.take(1, 0.0) == []  # what its socket did not take at once goes on its way
        store.prefetch(chance.choice([1, 1, 20, 100]))
        seen += [each.envelope for each in new]
        held += new
        chance.shuffle(held)
        half = len(held) // 2 + 1
        store.acknowledge(held[:half])
        del held[:half]
    assert sorted(seen, key=lambda each: each.id) == sorted(sent, key=lambda each: each.id)
    store.close()
    assert nothing_comes(world.connect("store"))


def test_the_unroutable_come_back_each_by_name(world: World) -> None:
    """A bundle that nobody is bound to is refused event by event, and the others are confirmed."""
    shop, store = world.connect("shop"), world.connect("store")
    good, lost = some(3), [envelope(LampForgotten, order=number) for number in range(3)]
    shop.publish([each for pair in zip(good, lost, strict=True) for each in pair])
    store.prefetch(100)
    store.acknowledge(take(store, 3))
    confirmed, refused = settle(shop, 6)
    assert sorted(confirmed) == sorted(each.id for each in good)
    assert refused == dict.fromkeys([each.id for each in lost], "returned")


def test_a_dead_bundle_is_dead_letters(world: World, broker_url: str) -> None:
    """What the broker takes out of the inbox comes from the dead-letter queue event by event, with its reason."""
    sent = some(3)
    world.connect("shop").publish(sent)
    reject(broker_url, "store")
    store = world.connect("store")
    dead = take(store, 3)
    assert [each.envelope for each in dead] == sent
    assert {each.death for each in dead} == {"rejected"}
    store.acknowledge(dead)
    store.close()
    assert nothing_comes(world.connect("store"))
