"""A worker's process and RabbitMQ: heartbeats without the batch thread, and the end of a process that hangs."""

import subprocess
import sys
import threading
import time

from shared.messaging.brokers.rabbitmq import RabbitMQ
from tests.contract.test_broker import TOPOLOGY, envelope, settle, take

HANGS = """
import sys, threading
from shared.messaging.brokers.rabbitmq import RabbitMQ
connection = RabbitMQ(sys.argv[1]).connect("store", alive=lambda: False)
assert connection.take(1, 20.0)
print("taken", flush=True)
threading.Event().wait()
"""


def test_heartbeats_do_not_need_the_batch_thread(broker_url: str) -> None:
    """A batch may take longer than the broker waits for a heartbeat: what was taken can still be acknowledged."""
    broker = RabbitMQ(f"{broker_url}?heartbeat=1")
    broker.provision(TOPOLOGY, settle=0)
    shop, store = broker.connect("shop"), broker.connect("store")
    shop.publish([envelope()])
    taken = take(store, 1)
    time.sleep(4)  # the batch
    store.acknowledge(taken)
    shop.publish([envelope()])
    assert len(settle(shop, 2)[0]) == 2
    (delivery,) = take(store, 1)
    assert delivery.drops == 0
    shop.close()
    store.close()


def test_a_process_that_hangs_is_ended(broker_url: str) -> None:
    """When the worker says that a batch hangs, its process ends with code 75, and its message goes to another."""
    broker = RabbitMQ(broker_url)
    broker.provision(TOPOLOGY, settle=0)
    shop = broker.connect("shop")
    shop.publish([envelope()])
    settle(shop, 1)
    hanging = subprocess.run([sys.executable, "-c", HANGS, broker_url], timeout=120, capture_output=True, check=False)
    assert (hanging.returncode, hanging.stdout) == (75, b"taken\n")
    assert b"a batch hangs" in hanging.stderr
    store = broker.connect("store")
    assert take(store, 1)[0].drops == 1
    shop.close()
    store.close()


def test_closing_leaves_no_thread_behind(broker_url: str) -> None:
    """A closed connection's I/O thread has ended, its sockets with it."""
    broker = RabbitMQ(broker_url)
    broker.provision(TOPOLOGY, settle=0)
    before = threading.active_count()
    connections = [broker.connect(service) for service in ("shop", "store", "museum")]
    assert threading.active_count() == before + 3
    for connection in connections:
        connection.close()
    assert threading.active_count() == before
