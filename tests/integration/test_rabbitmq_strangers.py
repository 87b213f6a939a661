"""What strangers may send, and what a service's own user may not: on a real RabbitMQ."""

import json
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from order_service.cli.stack import RabbitMQServer
from shared.messaging.broker import AccessRefused, Connection
from shared.messaging.brokers.rabbitmq import RabbitMQ
from shared.messaging.envelope import Reader, Unreadable
from tests.contract.test_broker import TOPOLOGY, LampPacked, LampRequested, envelope, reject, settle, take
from tests.parcels import as_sent

PASSWORDS = {name: f"secret of {name}" for name in ("shop", "store", "museum", "provision", "listener")}


@pytest.fixture
def store(broker_url: str) -> Iterator[Connection]:
    broker = RabbitMQ(broker_url)
    broker.provision(TOPOLOGY, settle=0)
    connection = broker.connect("store")
    yield connection
    connection.close()


@pytest.fixture
def stranger(broker_url: str) -> Iterator[BlockingChannel]:
    """A channel that may do anything."""
    connection = pika.BlockingConnection(pika.URLParameters(broker_url))
    yield connection.channel()
    if connection.is_open:
        connection.close()


class Raw(pika.BasicProperties):
    """Properties whose headers are these bytes, whatever they mean."""

    def __init__(self, table: bytes) -> None:
        super().__init__()
        self.table = table

    def encode(self) -> list[bytes]:
        headers_only = 1 << 13
        return [struct.pack(">H", headers_only), struct.pack(">I", len(self.table)), self.table]


HOSTILE = {
    "nothing at all": pika.BasicProperties(),
    "no headers": pika.BasicProperties(message_id="not a UUID", type="lamp.requested", correlation_id=""),
    "NUL and not UTF-8": pika.BasicProperties(message_id="\0", type="\0lamp", headers={"producer": b"\xff\xfe\0"}),
    "numbers for words": pika.BasicProperties(
        timestamp=2**63 - 1, headers={"version": 2**40, "occurred_at": -1, "producer": 5, "traceparent": 1.5 > 1}
    ),
    "words for numbers": pika.BasicProperties(headers={"version": "one", "occurred_at": "yesterday"}),
    "dates and nothing": pika.BasicProperties(
        headers={"occurred_at": datetime(9999, 12, 31, tzinfo=UTC), "version": None}
    ),
    "tables and lists": pika.BasicProperties(headers={"version": [1], "producer": {"a": [None]}, "x-death": "x"}),
    "false deaths": pika.BasicProperties(
        headers={"x-death": [5], "x-delivery-count": 900, "x-first-death-reason": "no"}
    ),
    "false types": pika.BasicProperties(headers={"traceparent": "00-" + "x" * 10_000, "causation_id": "c" * 5_000}),
    "copies": pika.BasicProperties(headers={"CC": ["lamp.packed"], "BCC": ["lamp.packed"]}),
    "a moment beyond all calendars": Raw(b"\1tT" + struct.pack(">Q", 2**63)),
    "a table ten thousand deep": Raw(
        b"".join(b"\1tF" + struct.pack(">I", 7 * (10_000 - depth)) for depth in range(1, 10_001))
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_message_can_be_looked_at(
    kind: str, store: Connection, stranger: BlockingChannel, broker_url: str
) -> None:
    """Whatever its properties, a message arrives with an envelope that any database can hold, and the worker lives."""
    stranger.basic_publish("shop.events", "lamp.requested", b"\xff\0{", HOSTILE[kind])
    (delivery,) = take(store, 1)
    seen = delivery.envelope
    assert str(UUID(seen.id)) == seen.id
    assert (seen.producer, seen.body, delivery.drops) == ("", b"\xff\0{", 0)
    assert seen.occurred_at.tzinfo is UTC
    assert 0 <= seen.version < 2**31
    for word in (seen.type, seen.correlation_id, seen.causation_id or "", seen.traceparent or "", seen.content_type):
        assert len(word) <= 255
        assert "\0" not in word
    if kind == "false deaths":
        # RabbitMQ 3.10 itself falls over when it has to dead-letter this one. Workers park what they cannot read in
        # their database and acknowledge it, so it never has to.
        store.acknowledge([delivery])
        return
    store.close()
    reject(broker_url, "store")
    store = RabbitMQ(broker_url).connect("store")
    (dead,) = take(store, 1)
    readable = not isinstance(HOSTILE[kind], Raw)
    assert (dead.death, dead.envelope.producer) == ("rejected" if readable else "unknown", "")
    assert (dead.envelope.id, dead.envelope.body) == (seen.id, seen.body)
    store.acknowledge([dead])
    store.close()


def test_a_message_without_an_id_keeps_the_one_it_gets(store: Connection, stranger: BlockingChannel) -> None:
    """The same nameless message has the same id each time it comes, and another message has another."""
    for body in (b"one", b"one", b"two"):
        stranger.basic_publish("shop.events", "lamp.requested", body)
    ids = []
    for _ in range(3):
        (delivery,) = take(store, 1)
        ids.append(delivery.envelope.id)
        store.acknowledge([delivery])
    assert ids[0] == ids[1] != ids[2]


@pytest.fixture(scope="module")
def confined(
    rabbitmq_server: RabbitMQServer, vhosts: Iterator[str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], str]:
    """Loads the topology's definitions and returns a function from a user to its broker address."""
    vhost = next(vhosts)
    address = rabbitmq_server.url(vhost).partition("@")[2]
    path = tmp_path_factory.mktemp("definitions") / "definitions.json"
    path.write_text(json.dumps(TOPOLOGY.definitions(PASSWORDS, vhost)))
    rabbitmq_server.control("import_definitions", str(path))
    return lambda user: f"amqp://{user}:{PASSWORDS[user].replace(' ', '%20')}@{address}"


def test_the_definitions_are_all_a_service_needs(confined: Callable[[str], str]) -> None:
    """With nothing but the definitions file, services check their topology and talk as their own users."""
    for service in ("shop", "store", "museum"):
        RabbitMQ(confined(service)).check(service)
    RabbitMQ(confined("provision")).provision(TOPOLOGY, settle=0)
    shop, store = RabbitMQ(confined("shop")).connect("shop"), RabbitMQ(confined("store")).connect("store")
    asked, packed = envelope(LampRequested), envelope(LampPacked)
    shop.publish([asked])
    first = take(store, 1)
    assert first[0].envelope == asked
    store.publish([packed])
    assert settle(store, 1) == ([packed.id], {})
    heard = take(shop, 1)
    assert heard[0].envelope == packed
    shop.acknowledge(heard)
    store.close()
    reject(confined("provision"), "store")
    store = RabbitMQ(confined("store")).connect("store")
    dead = take(store, 1)
    assert dead[0].death == "rejected"
    store.acknowledge(dead)
    shop.close()
    store.close()


FORBIDDEN: dict[str, Callable[[BlockingChannel], Any]] = {
    "a foreign key on the own exchange": lambda channel: publish(channel, "store.events", "lamp.requested"),
    "a key that nobody knows": lambda channel: publish(channel, "store.events", "lamp.packed.twice"),
    "a foreign exchange": lambda channel: publish(channel, "shop.events", "lamp.requested"),
    "a foreign inbox, directly": lambda channel: publish(channel, "", "shop.inbox"),
    "the dead letters, directly": lambda channel: publish(channel, "dlx", "shop.dlq"),
    "reading a foreign inbox": lambda channel: channel.basic_get("shop.inbox"),
    "reading foreign dead letters": lambda channel: channel.basic_get("museum.dlq"),
    "declaring": lambda channel: channel.queue_declare("store.other"),
    "a queue named by the server": lambda channel: channel.queue_declare("", exclusive=True),
    "deleting its own queue": lambda channel: channel.queue_delete("store.inbox"),
    "listening in": lambda channel: channel.queue_bind("store.inbox", "shop.events", "#"),
    "deleting an exchange": lambda channel: channel.exchange_delete("shop.events"),
}


def publish(channel: BlockingChannel, exchange: str, key: str) -> None:
    channel.confirm_delivery()
    channel.basic_publish(exchange, key, b"{}")


@pytest.mark.parametrize("act", FORBIDDEN)
def test_a_services_user_may_do_its_services_work_only(act: str, confined: Callable[[str], str]) -> None:
    """Whoever steals the store's password can say what the store says and hear what it hears, and nothing else."""
    connection = pika.BlockingConnection(pika.URLParameters(confined("store")))
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
        FORBIDDEN[act](connection.channel())
    connection.close()


def bound(channel: BlockingChannel) -> None:
    channel.queue_declare("listener.letters", durable=True, arguments={"x-queue-type": "quorum"})
    for service in ("shop", "store"):
        channel.queue_bind("listener.letters", f"{service}.events", "#")


def test_a_listener_hears_everything(confined: Callable[[str], str]) -> None:
    """A queue of its own, bound to a service's exchange, gets what the service says, as does who works it."""
    connection = pika.BlockingConnection(pika.URLParameters(confined("listener")))
    bound(channel := connection.channel())
    shop, store, asked = (
        *(RabbitMQ(confined(name)).connect(name) for name in ("shop", "store")),
        envelope(LampRequested),
    )
    shop.publish([asked])
    assert settle(shop, 1) == ([asked.id], {})
    worked = take(store, 1)
    assert worked[0].envelope == asked
    store.acknowledge(worked)
    for _, said, _ in channel.consume("listener.letters", auto_ack=True):
        assert (said.message_id, said.type) == (asked.id, "lamp.requested")
        break
    connection.close()
    shop.close()
    store.close()


OUT_OF_BOUNDS: dict[str, Callable[[BlockingChannel], Any]] = {
    "saying what a service says": lambda channel: publish(channel, "shop.events", "lamp.requested"),
    "filling an inbox": lambda channel: publish(channel, "", "store.inbox"),
    "reading an inbox": lambda channel: channel.basic_get("store.inbox"),
    "reading dead letters": lambda channel: channel.basic_get("store.dlq"),
    "deleting an inbox": lambda channel: channel.queue_delete("store.inbox"),
    "emptying an inbox": lambda channel: channel.queue_purge("store.inbox"),
    "unbinding an inbox": lambda channel: channel.queue_unbind("store.inbox", "shop.events", "lamp.requested"),
    "a queue of another name": lambda channel: channel.queue_declare("letters"),
    "an exchange": lambda channel: channel.exchange_declare("shop.events.copy"),
    "dead letters of its own into an inbox": lambda channel: channel.queue_declare(
        "listener.trap", arguments={"x-dead-letter-exchange": "shop.events"}
    ),
}


@pytest.mark.parametrize("act", OUT_OF_BOUNDS)
def test_a_listener_only_listens(act: str, confined: Callable[[str], str]) -> None:
    """It can say nothing, and read, change or take away nothing of a service's."""
    connection = pika.BlockingConnection(pika.URLParameters(confined("listener")))
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
        OUT_OF_BOUNDS[act](connection.channel())
    connection.close()


READER = Reader({each.type: each for each in (LampRequested, LampPacked)}, largest_body=1_000)
DIED_ELSEWHERE = [{"queue": "shop.inbox", "reason": "rejected", "exchange": "shop.events", "count": 1}]


@pytest.mark.parametrize("dead", [False, True], ids=["inbox", "dead letters"])
@pytest.mark.parametrize(("said", "seen"), [("store", "'store'"), (None, "nobody whom the broker knows")])
def test_nobody_speaks_as_another(said: str | None, seen: str, dead: bool, confined: Callable[[str], str]) -> None:
    """A store that says what only the shop says is told by its user, also where it lies about how its message died;
    a message whose sender gives no user is from nobody."""
    asked = envelope(LampRequested)
    properties, body = as_sent(asked)
    properties |= {"user_id": said, "headers": {"producer": "shop", "x-death": DIED_ELSEWHERE}}
    connection = pika.BlockingConnection(pika.URLParameters(confined("store")))
    connection.channel().basic_publish("store.events", "lamp.packed", body, pika.BasicProperties(**properties))
    connection.close()
    if dead:
        reject(confined("provision"), "shop")
    shop = RabbitMQ(confined("shop")).connect("shop")
    (forged,) = take(shop, 1)
    shop.acknowledge([forged])
    shop.close()
    assert (forged.envelope.id, forged.death) == (asked.id, "rejected" if dead else None)
    with pytest.raises(Unreadable, match=f"forged_sender: lamp.requested from {seen} instead of 'shop'"):
        READER.open(forged.envelope)


def test_the_broker_lets_nobody_use_anothers_name(confined: Callable[[str], str]) -> None:
    """A user id that is not the connection's is refused by the broker."""
    connection = pika.BlockingConnection(pika.URLParameters(confined("store")))
    channel = connection.channel()
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="user_id"):
        channel.basic_publish("store.events", "lamp.packed", b"{}", pika.BasicProperties(user_id="shop"))
    connection.close()


def test_users_may_have_names_of_their_own(confined: Callable[[str], str]) -> None:
    """Where users are not called as their services, BROKER_USERS says whose is whose, and nobody else is believed."""
    users = {"shop": "shop", "store": "provision"}
    store, other = (RabbitMQ(confined(name), users=users).connect("store") for name in ("provision", "store"))
    shop = RabbitMQ(confined("shop"), users=users).connect("shop")
    for each, producer in ((store, "store"), (other, "user store")):
        each.publish([envelope(LampPacked)])
        assert settle(each, 1)[1] == {}
        (delivery,) = take(shop, 1)
        assert delivery.envelope.producer == producer
        shop.acknowledge([delivery])
    for each in (store, other, shop):
        each.close()


def test_a_refusal_is_told_apart(confined: Callable[[str], str], broker_url: str) -> None:
    """A wrong password, a foreign service and a missing virtual host raise AccessRefused with the broker's words."""
    address = confined("store")
    for url, service in (
        (address.replace("secret", "guess"), "store"),
        (address, "shop"),
        (broker_url + "-missing", "store"),
    ):
        with pytest.raises(AccessRefused, match=r"403|ACCESS_REFUSED|NOT_ALLOWED"):
            RabbitMQ(url).connect(service)


def test_a_forbidden_message_is_refused_and_the_others_go_on(confined: Callable[[str], str]) -> None:
    """A type that the topology does not know is refused by the broker; the worker goes on consuming and publishing."""
    store, shop = RabbitMQ(confined("store")).connect("store"), RabbitMQ(confined("shop")).connect("shop")
    store.publish([envelope(LampRequested)])
    confirmed, refused = settle(store, 1)
    assert not confirmed
    assert "403 ACCESS_REFUSED" in next(iter(refused.values()))
    shop.publish([envelope(LampRequested)])
    store.acknowledge(take(store, 1))
    while not settle_one(store):
        pass
    store.close()
    shop.close()


def settle_one(store: Connection) -> bool:
    store.publish([envelope(LampPacked)])
    return bool(settle(store, 1)[0])
