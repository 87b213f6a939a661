"""A RabbitMQ that somebody else started, with nothing but its defaults: pytest-rabbitmq's process and client."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pika import BlockingConnection
from pytest_rabbitmq import factories
from pytest_rabbitmq.factories.executor import RabbitMqExecutor

from shared.bootstrap import system_topology
from shared.contracts import PaymentAuthorized
from shared.ids import uuid7
from shared.messaging.broker import Connection
from shared.messaging.brokers.rabbitmq import RabbitMQ
from shared.messaging.envelope import enclose
from tests.component.bench import order_id
from tests.component.orders import NOON
from tests.conftest import RABBITMQ
from tests.contract.test_broker import settle, take

# A node is found under its name: at the address it listens on, whatever this machine's name resolves to.
rabbitmq_proc = factories.rabbitmq_proc(
    server=str(RABBITMQ or "rabbitmq-server"),
    ctl=str((RABBITMQ or Path("rabbitmq-server")).with_name("rabbitmqctl")),
    node=f"plain-{os.getpid()}@localhost",
)
rabbitmq = factories.rabbitmq("rabbitmq_proc", teardown=lambda process, connection: None)


@pytest.fixture(scope="session", autouse=True)
def loopback_only() -> Iterator[None]:
    """What the process takes from its environment: it listens on loopback, and reads no settings of this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        patch.setenv("ERL_EPMD_ADDRESS", "127.0.0.1")
        patch.setenv("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
        patch.setenv("RABBITMQ_CONFIG_FILE", "/nonexistent")
        yield


def test_a_server_with_its_defaults_is_enough(rabbitmq_proc: RabbitMqExecutor, rabbitmq: BlockingConnection) -> None:
    """Provisioned once, it carries an event from one service to another, and any client sees the queues."""
    broker = RabbitMQ(f"amqp://guest:guest@{rabbitmq_proc.host}:{rabbitmq_proc.port}/%2F")
    broker.provision(system_topology(), settle=0)
    payment, order = broker.connect("payment"), broker.connect("order")
    fact = PaymentAuthorized(order_id=order_id(1), authorization_id="held-1", authorized=1999)
    sent = enclose(fact, at=NOON, new_id=uuid7)
    try:
        payment.publish([sent])
        assert settle(payment, 1) == ([sent.id], {})
        (delivery,) = take(order, 1)
        assert delivery.envelope == sent
        order.acknowledge([delivery])
    finally:
        close(payment, order)
    channel = rabbitmq.channel()
    for queue in system_topology().queues:
        assert channel.queue_declare(queue, passive=True).method.message_count == 0


def close(*connections: Connection) -> None:
    for each in connections:
        each.close()
