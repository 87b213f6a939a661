"""What strangers may send much of: a worker's memory and a broker's queues stay bounded, on a real RabbitMQ."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from payment_service.service import SERVICE
from shared.bootstrap import system_topology
from shared.ids import uuid7
from shared.messaging.brokers.rabbitmq import RabbitMQ
from shared.messaging.cloudevents import EVENT
from shared.messaging.envelope import enclose
from shared.messaging.topology import inbox_of
from tests.component.bench import Bench, order_id
from tests.contract.test_broker import TOPOLOGY, LampRequested, settle

MIB = 1 << 20
BODY_LIMIT = MIB // 4


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(SERVICE, f"sqlite:///{tmp_path}/payment.db")
    yield bench
    bench.close()


@pytest.fixture
def order_side(broker_url: str) -> Iterator[BlockingChannel]:
    whole = system_topology()  # of which an inbox takes a quarter of a gigabyte: here it shall take all
    roomy = {name: {**each, "x-max-length-bytes": 1 << 30} for name, each in whole.queues.items() if "dlq" not in name}
    RabbitMQ(broker_url).provision(replace(whole, queues={**whole.queues, **roomy}), settle=0)
    connection = pika.BlockingConnection(pika.URLParameters(broker_url))
    channel = connection.channel()
    channel.confirm_delivery()
    yield channel
    connection.close()


def until(happens: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 120
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def largest_memory(worker: "subprocess.Popen[bytes]") -> int:
    """The most bytes that a process has ever had in memory."""
    status = Path(f"/proc/{worker.pid}/status").read_text()
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(kilobytes) * 1024


def hears(bench: Bench, broker_url: str) -> "subprocess.Popen[bytes]":
    """A worker of the payment service, at its work."""
    environment = {
        **os.environ,
        "DATABASE_URL": bench.database.url,
        "BROKER_URL": broker_url,
        "BODY_LIMIT": str(BODY_LIMIT),
        "LOG_LEVEL": "ERROR",
    }
    return subprocess.Popen([sys.executable, "-m", "payment_service", "worker"], env=environment)


@pytest.mark.slow
def test_large_messages_do_not_fill_a_worker(bench: Bench, order_side: BlockingChannel, broker_url: str) -> None:
    """60 messages of 8 MiB, and 150 of the largest size that is read, wait when a worker begins: it takes them as it
    works them, in less than 48 MiB more than it has at rest; of those that are too large it keeps the beginning."""
    as_order = pika.BasicProperties(user_id="guest", type="payment.requested", content_type=EVENT)
    with hears(bench, broker_url) as worker:
        until(lambda: order_side.queue_declare(inbox_of("payment"), passive=True).method.consumer_count)
        at_rest = largest_memory(worker)
        worker.terminate()
    assert worker.wait() == 0
    for number in range(60):
        order_side.basic_publish("order.events", "payment.requested", b"%08d" % number + b"x" * (8 * MIB - 8), as_order)
    for number in range(150):
        body = b"%08d" % number + b"y" * (BODY_LIMIT - 8)
        order_side.basic_publish("order.events", "payment.requested", body, as_order)
    with hears(bench, broker_url) as worker:
        until(lambda: bench.rows("SELECT COUNT(*) FROM dead_letters") == [(210,)])
        most = largest_memory(worker)
        worker.terminate()
    assert worker.wait() == 0
    print(f"{at_rest / MIB:.0f} MiB at rest, {most / MIB:.0f} at most")
    assert most - at_rest < 48 * MIB
    kept = "SELECT COUNT(*), MAX(size), MAX(length(body)) FROM dead_letters WHERE reason LIKE 'oversized%'"
    assert bench.rows(kept) == [(60, 8 * MIB, 4096)]


def test_a_full_inbox_refuses_and_loses_nothing(broker_url: str) -> None:
    """What is too much comes back as nacked, for the outbox to keep; when there is room again it is taken."""
    arguments = {**TOPOLOGY.queues["store.inbox"], "x-max-length-bytes": 20_000}
    small = replace(TOPOLOGY, queues={**TOPOLOGY.queues, "store.inbox": arguments})
    RabbitMQ(broker_url).provision(small, settle=0)
    shop, store = RabbitMQ(broker_url, bundle=1).connect("shop"), RabbitMQ(broker_url).connect("store")
    large = LampRequested(order_id=order_id(1), sku="x" * 1_000)
    said: set[str] = set()
    refused: dict[str, str] = {}
    while not refused:  # the broker refuses a little after the limit is reached
        assert len(said) < 5_000
        letters = {each.id: each for each in (enclose(large, at=datetime.now(UTC), new_id=uuid7) for _ in range(20))}
        said |= letters.keys()
        shop.publish(list(letters.values()))
        refused = settle(shop, len(letters))[1]
    assert set(refused.values()) == {"nacked"}
    left, taken = [letters[each] for each in refused], set[str]()
    while taken < said:
        if left:
            shop.publish(left)
            refused = settle(shop, len(left))[1]
            left = [letters[each] for each in refused]
        deliveries = store.take(100, 0.1)
        taken |= {each.envelope.id for each in deliveries}
        store.acknowledge(deliveries)
        store.prefetch(200)
    assert taken == said
    shop.close()
    store.close()
