"""RabbitMQ's bad days, on a real server: closed connections, alarms, deleted queues, restarts."""

import time
from collections.abc import Callable, Iterator

import pika
import pytest

from order_service.cli.stack import RabbitMQServer
from shared.messaging.broker import Connection, ConnectionLost, Delivery
from shared.messaging.brokers.rabbitmq import RabbitMQ
from shared.messaging.brokers.rabbitmq.link import Link
from tests.contract.test_broker import TOPOLOGY, LampForgotten, envelope, nothing_comes, settle, take

DEADLINE = 60.0


@pytest.fixture
def rabbitmq_broker(broker_url: str) -> RabbitMQ:
    broker = RabbitMQ(broker_url)
    broker.provision(TOPOLOGY, settle=0)
    return broker


@pytest.fixture
def shop(rabbitmq_broker: RabbitMQ) -> Iterator[Connection]:
    connection = rabbitmq_broker.connect("shop")
    yield connection
    connection.close()


@pytest.fixture
def store(rabbitmq_broker: RabbitMQ) -> Iterator[Connection]:
    connection = rabbitmq_broker.connect("store")
    yield connection
    connection.close()


@pytest.fixture
def channel(broker_url: str) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    """An administrator's channel."""
    connection = pika.BlockingConnection(pika.URLParameters(broker_url))
    yield connection.channel()
    if connection.is_open:
        connection.close()


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def lost(connection: Connection) -> ConnectionLost:
    with pytest.raises(ConnectionLost) as caught:
        take(connection, 1)
    return caught.value


def test_received_messages_survive_narrowing(rabbitmq_broker: RabbitMQ, shop: Connection, store: Connection) -> None:
    """What this process has received when the prefetch is narrowed stays takeable, and none of it counts as dropped."""
    store.prefetch(40)
    assert nothing_comes(store)
    shop.publish([envelope(order=number) for number in range(20)])
    seen = take(store, 1)
    other = rabbitmq_broker.connect("store")
    assert nothing_comes(other)  # for the first one holds them all
    other.close()
    store.prefetch(1)
    seen += take(store, 19)
    store.acknowledge(seen)
    assert len({each.envelope.id for each in seen}) == 20
    assert {each.drops for each in seen} == {0}


def test_the_publishing_side_comes_back_by_itself(
    rabbitmq_server: RabbitMQServer, shop: Connection, store: Connection
) -> None:
    """When only the publishing connection breaks, consuming goes on, unconfirmed messages are refused as unknown or
    unsent, and publishing resumes."""
    close_connections(rabbitmq_server, "shop publishes")
    sent = envelope(order=1)
    reasons: list[str] = []

    def published() -> bool:
        shop.publish([sent])
        confirmed, refused = settle(shop, 1)
        reasons.extend(refused.values())
        return bool(confirmed)

    eventually(published)
    assert {reason.split(":")[0] for reason in reasons} <= {"unknown", "unsent"}
    (delivery, *_) = take(store, 1)
    assert delivery.envelope == sent


def test_a_missing_exchange_is_no_loss(
    shop: Connection, store: Connection, rabbitmq_broker: RabbitMQ, channel: pika.channel.Channel
) -> None:
    """While the own exchange is missing, messages are refused and consuming goes on; provisioning again heals it."""
    channel.exchange_delete("shop.events")
    shop.publish([envelope()])
    confirmed, refused = settle(shop, 1)
    assert not confirmed
    assert "404 NOT_FOUND" in next(iter(refused.values()))
    rabbitmq_broker.provision(TOPOLOGY, settle=0)

    def published() -> bool:
        shop.publish([envelope()])
        return bool(settle(shop, 1)[0])

    eventually(published)
    assert take(store, 1)


def test_a_deleted_queue_is_a_loss(store: Connection, rabbitmq_broker: RabbitMQ, channel: pika.channel.Channel) -> None:
    """When the queue is deleted under the consumer, the port says so; and again as long as the queue is missing."""
    channel.queue_delete("store.inbox")
    assert "store" in str(lost(store))
    with pytest.raises(ConnectionLost, match="404 NOT_FOUND"):
        rabbitmq_broker.connect("store")
    with pytest.raises(ConnectionLost, match="404 NOT_FOUND"):
        rabbitmq_broker.check("store")
    rabbitmq_broker.provision(TOPOLOGY, settle=0)
    rabbitmq_broker.check("store")
    rabbitmq_broker.connect("store").close()


def test_other_arguments_are_refused(rabbitmq_broker: RabbitMQ, channel: pika.channel.Channel) -> None:
    """A queue that exists with other arguments is not touched: provisioning fails with the broker's words."""
    channel.queue_delete("store.inbox")
    channel.queue_declare("store.inbox", durable=True)
    with pytest.raises(ConnectionLost, match="406 PRECONDITION_FAILED"):
        rabbitmq_broker.provision(TOPOLOGY, settle=0)


def test_the_delivery_limit_leads_to_the_dead_letters(
    rabbitmq_broker: RabbitMQ, shop: Connection, channel: pika.channel.Channel
) -> None:
    """A message that was dropped more often than the limit comes from the dead-letter queue with that reason."""
    shop.publish([envelope()])
    limit = 1_000
    while channel.queue_declare("store.inbox", passive=True).method.message_count == 0:
        time.sleep(0.02)
    for _ in range(limit + 1):
        method, _, _ = channel.basic_get("store.inbox")
        assert method, "it was dead-lettered too early"
        channel.basic_nack(method.delivery_tag, requeue=True)
    store = rabbitmq_broker.connect("store")
    (dead,) = take(store, 1)
    assert (dead.death, dead.envelope.producer) == ("delivery_limit", "shop")
    store.close()


def alarm(server: RabbitMQServer) -> None:
    """Make the server short of memory, and wait until its connections know."""
    server.control("set_vm_memory_high_watermark", "0.0000001")
    assert "memory" in server.evaluate("rabbit_alarm:get_alarms()")


def test_a_memory_alarm_blocks_publishing_only(
    rabbitmq_server: RabbitMQServer, rabbitmq_broker: RabbitMQ, shop: Connection, store: Connection
) -> None:
    """During a memory alarm messages are held, acknowledgments arrive, closing does not hang; then all goes on."""
    shop.publish([envelope(order=number) for number in range(5)])
    settle(shop, 5)
    other = rabbitmq_broker.connect("shop")
    alarm(rabbitmq_server)
    try:
        held = [envelope(order=number) for number in range(5, 10)]
        shop.publish(held[:1])
        other.publish([envelope(LampForgotten)])
        for _ in range(5):
            store.acknowledge(take(store, 1))
        assert nothing_comes(store)
        shop.publish(held[1:])
        assert shop.take(1, 0.3) == []
        assert shop.settled().confirmed == []
        began = time.monotonic()
        other.close()
        assert time.monotonic() - began < DEADLINE
    finally:
        rabbitmq_server.control("set_vm_memory_high_watermark", "0.4")
    confirmed, refused = settle(shop, 5)
    assert (sorted(confirmed), refused) == (sorted(each.id for each in held), {})
    for _ in range(5):
        store.acknowledge(take(store, 1))


def test_a_blocked_publisher_gives_up_in_time(rabbitmq_server: RabbitMQServer, broker_url: str) -> None:
    """When the broker blocks for longer than the timeout, messages come back as refused instead of hanging."""
    broker = RabbitMQ(f"{broker_url}?blocked_connection_timeout=1")
    broker.provision(TOPOLOGY, settle=0)
    shop = broker.connect("shop")
    alarm(rabbitmq_server)
    try:
        sent = [envelope(order=number) for number in range(3)]
        shop.publish(sent[:1])
        shop.take(1, 0.2)
        shop.publish(sent[1:])
        confirmed, refused = settle(shop, 3)
        assert confirmed == []
        assert "ConnectionBlockedTimeout" in refused[sent[0].id]
    finally:
        rabbitmq_server.control("set_vm_memory_high_watermark", "0.4")
    shop.close()


def test_a_broker_restart_loses_nothing(
    rabbitmq_server: RabbitMQServer, rabbitmq_broker: RabbitMQ, shop: Connection, store: Connection
) -> None:
    """Confirmed messages are still there after the broker was stopped and started, and workers can connect again."""
    sent = [envelope(order=number) for number in range(50)]
    shop.publish(sent)
    settle(shop, 50)
    rabbitmq_server.control("stop_app")
    lost(store)
    lost(shop)
    with pytest.raises(ConnectionLost, match="store: ConnectionRefusedError"):
        rabbitmq_broker.connect("store")
    rabbitmq_server.control("start_app")
    again = connect_again(rabbitmq_broker, "store")
    again.prefetch(100)
    taken: list[Delivery] = take(again, 50)
    assert {each.envelope.id for each in taken} == {each.id for each in sent}
    again.acknowledge(taken)
    again.close()


def connect_again(broker: RabbitMQ, service: str) -> Connection:
    end = time.monotonic() + DEADLINE
    while True:
        try:
            return broker.connect(service)
        except ConnectionLost:
            assert time.monotonic() < end
            time.sleep(0.1)


def close_connections(server: RabbitMQServer, name: str) -> None:
    """Close the server's connections that a client named so."""
    seen = server.control("list_connections", "pid", "client_properties")
    found = [line.split("\t")[0] for line in seen.splitlines() if f'"{name}"' in line]
    assert found, seen
    for pid in found:
        server.control("close_connection", pid, "a test")


def test_the_hooks_into_pika_exist() -> None:
    """Joined writes, unreadable headers and a dropped socket rest on names that pika does not promise."""
    inherited = {name for parent in Link.__mro__[1:] for name in vars(parent)}
    assert {"_adapter_emit_data", "_read_frame"} <= vars(Link).keys() & inherited
    assert "_terminate_stream" in inherited
    assert "_frame_buffer" in pika.connection.Connection.__init__.__code__.co_names
    assert "_cancelled" in pika.channel.Channel.__init__.__code__.co_names
