"""What every broker adapter promises: the same tests for RabbitMQ and for the embedded one."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar

import msgspec
import pytest
from pika.channel import Channel
from pika.spec import Basic

from order_service.cli.stack import RabbitMQServer
from shared.ids import uuid7
from shared.messaging.broker import Broker, Connection, ConnectionLost, Delivery
from shared.messaging.brokers.embedded import Embedded
from shared.messaging.brokers.rabbitmq import RabbitMQ
from shared.messaging.brokers.rabbitmq.link import IOLoop, Link, parameters_for
from shared.messaging.envelope import Envelope, enclose
from shared.messaging.topology import DELIVERY_LIMIT, topology

DEADLINE = 60.0


class LampRequested(msgspec.Struct, frozen=True, kw_only=True):
    type: ClassVar[str] = "lamp.requested"
    version: ClassVar[int] = 1
    producer: ClassVar[str] = "shop"
    order_id: str
    sku: str = "POPULAR-LAMP"


class LampPacked(LampRequested, frozen=True, kw_only=True):
    type: ClassVar[str] = "lamp.packed"
    producer: ClassVar[str] = "store"


class LampForgotten(LampRequested, frozen=True, kw_only=True):
    type: ClassVar[str] = "lamp.forgotten"


class LampAdmired(LampRequested, frozen=True, kw_only=True):
    type: ClassVar[str] = "lamp.admired"


TOPOLOGY = topology({"shop": [LampPacked], "store": [LampRequested, LampAdmired], "museum": [LampAdmired]})


@dataclass
class World:
    """A broker whose topology is provisioned, and ways to break its connections and to make it give up a message."""

    broker: Broker
    cut: Callable[[str], None]
    kill: Callable[[str], None] = lambda service: None  # the next message of a service's inbox
    opened: list[Connection] = field(default_factory=list)

    def connect(self, service: str) -> Connection:
        connection = self.broker.connect(service)
        self.opened.append(connection)
        return connection


@pytest.fixture(params=["embedded", "rabbitmq"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "embedded":
        embedded = Embedded(TOPOLOGY)
        made = World(embedded, embedded.cut, lambda service: drop_to_death(embedded, service))
    else:
        server: RabbitMQServer = request.getfixturevalue("rabbitmq_server")
        url: str = request.getfixturevalue("broker_url")
        vhost = url.rsplit("/", 1)[1]
        made = World(
            RabbitMQ(url, bundle=1),  # what travels together shares a fate: tests/integration/test_rabbitmq_bundles.py
            lambda _service: server.control("close_all_connections", "-p", vhost, "cut"),
            lambda service: reject(url, service),
        )
        RabbitMQ(url).provision(TOPOLOGY, settle=0)
    yield made
    for connection in made.opened:
        connection.close()


def drop_to_death(broker: Embedded, service: str) -> None:
    """Take its next message and give it back, more often than the limit."""
    for _ in range(DELIVERY_LIMIT + 1):
        connection = broker.connect(service)
        connection.take(1, 0)
        connection.close()


def reject(url: str, service: str) -> None:
    """As an administrator may, even what cannot be read."""
    loop = IOLoop()
    loop.activate_poller()

    def opened(channel: Channel) -> None:
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(f"{service}.inbox", rejected)

    def rejected(channel: Channel, method: Basic.Deliver, *_: object) -> None:
        channel.basic_reject(method.delivery_tag, requeue=False)
        link.close()

    link = Link(
        parameters_for(url, "rejects", heartbeat=30),
        on_open_callback=lambda link: link.channel(on_open_callback=opened),
        custom_ioloop=loop,
    )
    end = time.monotonic() + DEADLINE
    while not link.is_closed:
        assert time.monotonic() < end
        loop.poll()
        loop.process_timeouts()
        link.flush()
    loop.close()


def envelope(kind: type[LampRequested] = LampRequested, order: int = 1) -> Envelope:
    message = kind(order_id=f"00000000-0000-7000-8000-{order:012}")
    return enclose(message, at=datetime.now(UTC), new_id=uuid7)


def take(connection: Connection, most: int, *, until: Callable[[], bool] = lambda: False) -> list[Delivery]:
    """Deliveries until there are `most`, or something else is true."""
    taken: list[Delivery] = []
    end = time.monotonic() + DEADLINE
    while len(taken) < most and not until():
        assert time.monotonic() < end, f"{len(taken)} of {most} messages came"
        taken += connection.take(most - len(taken), 0.5)
    return taken


def take_all(connection: Connection) -> list[Delivery]:
    """Whatever comes until nothing more does."""
    taken: list[Delivery] = []
    while more := connection.take(100, 0.3):
        taken += more
    return taken


def nothing_comes(connection: Connection, seconds: float = 0.3) -> bool:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if connection.take(10, left):
            return False
    return True


def settle(connection: Connection, count: int) -> tuple[list[str], dict[str, str]]:
    """What became of `count` published messages."""
    confirmed: list[str] = []
    refused: dict[str, str] = {}
    end = time.monotonic() + DEADLINE
    while len(confirmed) + len(refused) < count:
        assert time.monotonic() < end, f"{len(confirmed)} confirmed, {refused}"
        assert connection.take(1, 0.05) == []
        settled = connection.settled()
        confirmed += settled.confirmed
        refused |= settled.refused
    return confirmed, refused


def test_what_is_published_arrives_whole(world: World) -> None:
    """An envelope arrives as it was sent: ids, type, version, producer, moment, trace and body."""
    shop, store = world.connect("shop"), world.connect("store")
    cause = msgspec.structs.replace(envelope(), traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
    sent = enclose(LampRequested(order_id=cause.correlation_id), at=datetime.now(UTC), new_id=uuid7, cause=cause)
    shop.publish([sent])
    (delivery,) = take(store, 1)
    assert delivery.envelope == sent
    assert (delivery.drops, delivery.death) == (0, None)


def test_messages_wait_for_a_consumer(world: World) -> None:
    """What is published while nobody consumes is kept, in order."""
    sent = [envelope(order=number) for number in range(5)]
    world.connect("shop").publish(sent)
    store = world.connect("store")
    store.prefetch(10)
    assert [each.envelope for each in take(store, 5)] == sent


def test_every_handler_gets_its_own_copy(world: World) -> None:
    """A type that two services handle reaches both, and neither takes it from the other."""
    shop, store, museum = world.connect("shop"), world.connect("store"), world.connect("museum")
    sent = envelope(LampAdmired)
    shop.publish([sent])
    copies = take(store, 1), take(museum, 1)
    assert [copy.envelope for (copy,) in copies] == [sent, sent]
    store.acknowledge(copies[0])
    museum.acknowledge(copies[1])
    assert settle(shop, 1) == ([sent.id], {})


def test_a_service_speaks_through_its_own_exchange_only(world: World) -> None:
    """A service that says another one's event is not heard: it comes back, and names no false producer."""
    store = world.connect("store")
    forged = envelope(LampRequested)
    store.publish([forged])
    assert settle(store, 1) == ([], {forged.id: "returned"})


def test_the_unroutable_comes_back(world: World) -> None:
    """A type that nobody is bound to is refused as returned, also if said twice, and its neighbors are not."""
    shop, store = world.connect("shop"), world.connect("store")
    store.prefetch(10)
    good = [envelope(order=1), envelope(order=3)]
    lost = envelope(LampForgotten, order=2)
    shop.publish([lost, lost, *good])
    store.acknowledge(take(store, 2))
    confirmed, refused = settle(shop, 3)
    assert sorted(confirmed) == sorted(each.id for each in good)
    assert refused == {lost.id: "returned"}


def test_acknowledged_messages_do_not_come_again(world: World) -> None:
    """After an acknowledgment, a new connection finds nothing."""
    world.connect("shop").publish([envelope(order=number) for number in range(3)])
    store = world.connect("store")
    store.prefetch(10)
    store.acknowledge(take(store, 3))
    store.close()
    assert nothing_comes(world.connect("store"))


def test_any_subset_can_be_acknowledged(world: World) -> None:
    """Suspects are acknowledged later: only what was not acknowledged comes again."""
    world.connect("shop").publish([envelope(order=number) for number in range(6)])
    store = world.connect("store")
    store.prefetch(10)
    taken = take(store, 6)
    store.acknowledge([taken[1], taken[4], taken[3]])
    store.acknowledge([taken[0]])
    store.acknowledge([taken[5], taken[5]])
    store.close()
    again = take(world.connect("store"), 1)
    assert [each.envelope for each in again] == [taken[2].envelope]


def test_the_unacknowledged_comes_again_and_says_so(world: World) -> None:
    """What a worker took and did not acknowledge goes to the next one, which learns how often it was dropped."""
    sent = envelope()
    world.connect("shop").publish([sent])
    for drops in range(3):
        store = world.connect("store")
        (delivery,) = take(store, 1)
        assert (delivery.envelope, delivery.drops) == (sent, drops)
        store.close()


def test_a_handle_dies_with_its_connection(world: World) -> None:
    """A delivery of a lost connection cannot acknowledge anybody else's on the next one."""
    world.connect("shop").publish([envelope(order=1)])
    store = world.connect("store")
    old = take(store, 1)
    store.close()
    store = world.connect("store")
    (delivery,) = take(store, 1)
    store.acknowledge(old)
    store.close()
    assert take(world.connect("store"), 1)[0].envelope == delivery.envelope


def test_the_dead_come_from_the_dead_letters(world: World) -> None:
    """What the broker took out of the inbox comes to its service with the reason, until it is acknowledged."""
    sent = [envelope(order=1), envelope(order=2)]
    world.connect("shop").publish(sent)
    world.kill("store")
    store = world.connect("store")
    store.prefetch(10)
    letters = {each.envelope.id: each for each in take(store, 2)}
    dead, alive = (letters[each.id] for each in sent)
    assert dead.death in ("rejected", "delivery_limit")
    assert (dead.envelope, alive.envelope, alive.death) == (sent[0], sent[1], None)
    store.acknowledge([alive])
    store.close()
    store = world.connect("store")
    (again,) = take(store, 1)
    assert (again.envelope, again.death, again.drops) == (sent[0], dead.death, 1)
    store.acknowledge([again])
    assert nothing_comes(store)


def test_a_connection_begins_with_one_message(world: World) -> None:
    """Without a word about prefetch, one unacknowledged message is held at a time."""
    world.connect("shop").publish([envelope(order=number) for number in range(3)])
    store = world.connect("store")
    for _ in range(3):
        taken = take(store, 1)
        assert nothing_comes(store)
        store.acknowledge(taken)


def test_prefetch_bounds_what_is_held(world: World) -> None:
    """Never more than the prefetch is held, apart from what was held before; acknowledging makes room."""
    world.connect("shop").publish([envelope(order=number) for number in range(12)])
    store = world.connect("store")
    store.prefetch(4)
    before = take_all(store)
    assert len(before) in (4, 5)
    store.acknowledge(before)
    taken = take_all(store)
    assert len(taken) == 4
    store.acknowledge(taken[:2])
    taken += take_all(store)
    assert len(taken) == 6
    assert len({each.envelope.id for each in before + taken}) == len(before) + 6


def test_changing_the_prefetch_under_load_loses_nothing(world: World) -> None:
    """Each message comes once to be acknowledged. RabbitMQ takes back what is on its way to an ended consumer."""
    shop, store = world.connect("shop"), world.connect("store")
    sent = [envelope(order=number) for number in range(240)]
    seen: list[Delivery] = []
    for turn, start in enumerate(range(0, 240, 40)):
        shop.publish(sent[start : start + 40])
        store.prefetch(5 if turn % 2 else 50)
        while len(seen) < start + 40:
            batch = take(store, 1)
            store.acknowledge(batch)
            seen += batch
    assert sorted(each.envelope.id for each in seen) == sorted(each.id for each in sent)
    assert max(each.drops for each in seen) <= 1
    assert nothing_comes(store)


def test_narrow_means_one_more(world: World) -> None:
    """After narrowing to 1, one message is held apart from those already held."""
    shop, store = world.connect("shop"), world.connect("store")
    store.prefetch(3)
    shop.publish([envelope(order=number) for number in range(9)])
    held = take_all(store)
    store.prefetch(1)
    for _ in range(2):
        one = take_all(store)
        assert len(one) == 1
        store.acknowledge(one)
    store.acknowledge(held)
    assert len(take_all(store)) == 1


def test_wake_ends_a_wait(world: World) -> None:
    """A take that waits returns at once, empty, when another thread wakes it; so does the next one."""
    store = world.connect("store")
    alarm = threading.Timer(0.1, store.wake)
    alarm.start()
    began = time.monotonic()
    assert store.take(10, DEADLINE) == []
    alarm.join()
    store.wake()
    assert store.take(10, DEADLINE) == []
    assert time.monotonic() - began < DEADLINE


def test_take_with_no_patience_does_not_wait(world: World) -> None:
    """A timeout of 0 returns what is there."""
    store = world.connect("store")
    began = time.monotonic()
    assert store.take(10, 0.0) == []
    assert time.monotonic() - began < DEADLINE


def test_a_closed_connection_says_so(world: World) -> None:
    """After closing, which may be done twice, every call raises ConnectionLost; waking does no harm."""
    store = world.connect("store")
    store.close()
    store.close()
    store.wake()
    for call in (
        lambda: store.take(1, 0.0),
        store.settled,
        lambda: store.publish([]),
        lambda: store.acknowledge([]),
        lambda: store.prefetch(2),
    ):
        with pytest.raises(ConnectionLost):
            call()


def test_a_service_without_queues_cannot_connect(world: World) -> None:
    """Who is not provisioned gets no connection."""
    with pytest.raises(ConnectionLost):
        world.connect("nobody")


def test_a_thousand_messages_and_a_cut(world: World) -> None:
    """When all connections break in the middle, publishing again what was not confirmed loses nothing."""
    sent = {each.id: each for each in (envelope(order=number) for number in range(1_000))}
    shop, store = world.connect("shop"), world.connect("store")
    unconfirmed, seen = dict(sent), set[str]()
    shop.publish(list(unconfirmed.values()))
    cut = False
    end = time.monotonic() + 2 * DEADLINE
    while unconfirmed or len(seen) < len(sent):
        assert time.monotonic() < end, f"{len(unconfirmed)} unconfirmed, {len(seen)} seen"
        try:
            store.prefetch(100)
            batch = store.take(50, 0.02)
            if not cut and len(seen) > 300:
                cut = True
                world.cut("store")
                world.cut("shop")
            store.acknowledge(batch)
            seen |= {each.envelope.id for each in batch}
        except ConnectionLost:
            store.close()
            store = world.connect("store")
        try:
            settled = shop.settled()
            for message_id in settled.confirmed:
                unconfirmed.pop(message_id, None)
            if settled.refused:
                shop.publish([unconfirmed[each] for each in settled.refused if each in unconfirmed])
        except ConnectionLost:
            shop.close()
            shop = world.connect("shop")
            shop.publish(list(unconfirmed.values()))
    assert cut
    assert seen == set(sent)


def test_a_lost_connection_says_so(world: World) -> None:
    """A take that waits ends with ConnectionLost when the connection breaks."""
    store = world.connect("store")
    alarm = threading.Timer(0.1, world.cut, ["store"])
    alarm.start()
    with pytest.raises(ConnectionLost):
        take(store, 1)
    alarm.join()


def test_two_workers_share_a_queue(world: World) -> None:
    """Each message goes to one of the workers of a service."""
    first, second = world.connect("store"), world.connect("store")
    world.connect("shop").publish([envelope(order=1), envelope(order=2)])
    (one,), (other,) = take(first, 1), take(second, 1)
    assert one.envelope.id != other.envelope.id
