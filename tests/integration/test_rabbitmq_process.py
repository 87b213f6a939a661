"""A worker's process and RabbitMQ: how long a batch may take, and the end of a process that hangs."""

import os
import subprocess
import sys
import threading
import time

import pytest

from shared.messaging.broker import ConnectionLost
from shared.messaging.brokers.rabbitmq import RabbitMQ
from tests.contract.test_broker import TOPOLOGY, envelope, settle, take

HANGS = """
import sys, threading
from shared.messaging.brokers.rabbitmq import RabbitMQ
from shared.messaging.watchdog import watch
connection = RabbitMQ(sys.argv[1]).connect("store")
assert connection.take(1, 20.0)
print("taken", flush=True)
watch("store", lambda: False, threading.Event())
threading.Event().wait()
"""


def test_a_batch_may_take_as_long_as_was_agreed(broker_url: str) -> None:
    """So long nothing is read and no heartbeat is sent: then what was taken can still be acknowledged and published."""
    broker = RabbitMQ(broker_url, longest_batch=4)
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


def test_whoever_is_silent_for_longer_loses_its_messages(broker_url: str) -> None:
    """A worker that was stopped for long learns that its connection is lost, and its messages go to another."""
    frozen = RabbitMQ(f"{broker_url}?heartbeat=1")
    frozen.provision(TOPOLOGY, settle=0)
    shop, store = RabbitMQ(broker_url).connect("shop"), frozen.connect("store")
    shop.publish([envelope()])
    taken = take(store, 1)
    other = RabbitMQ(broker_url).connect("store")
    (delivery,) = take(other, 1)  # meanwhile the first one is silent
    assert (delivery.envelope, delivery.drops) == (taken[0].envelope, 1)
    with pytest.raises(ConnectionLost):
        take(store, 1)
    for connection in (shop, store, other):
        connection.close()


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


def test_a_connection_leaves_nothing_behind(broker_url: str) -> None:
    """It starts no thread, and a closed one has closed its files."""
    broker = RabbitMQ(broker_url)
    broker.provision(TOPOLOGY, settle=0)
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    connections = [broker.connect(service) for service in ("shop", "store", "museum")]
    assert threading.active_count() == threads
    for connection in connections:
        connection.close()
    assert len(os.listdir("/proc/self/fd")) == files
