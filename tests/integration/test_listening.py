"""docs/listening.md: its program runs, and prints every event once, whether it travels alone or with others."""

import json
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pika
import pytest

from shared.bootstrap import system_topology
from shared.contracts import PaymentCaptured
from shared.ids import uuid7
from shared.messaging.brokers.rabbitmq import RabbitMQ
from shared.messaging.envelope import Envelope, enclose
from tests.component.bench import order_id
from tests.contract.test_broker import settle

PAGE = Path(__file__).parents[2] / "docs" / "listening.md"


def captured(number: int) -> Envelope:
    message = PaymentCaptured(order_id=order_id(number), captured=1999)
    return enclose(message, at=datetime(2024, 10, 27, tzinfo=UTC), new_id=uuid7)


def wait_for_queue(url: str, name: str) -> None:
    """Until somebody consumes it."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        connection = pika.BlockingConnection(pika.URLParameters(url))
        try:
            if connection.channel().queue_declare(name, passive=True).method.consumer_count:
                return
        except pika.exceptions.ChannelClosedByBroker:
            pass  # it is not there yet
        finally:
            connection.close()
    pytest.fail(f"nobody consumes {name}")


def test_the_listener_of_the_page_prints_every_event_once(broker_url: str, tmp_path: Path) -> None:
    """Two that travel together, one alone, and a repeat: three lines."""
    RabbitMQ(broker_url).provision(system_topology(), settle=0)
    (program,) = re.findall(r"```python\n(.+?)```", PAGE.read_text(), re.DOTALL)
    path = tmp_path / "listener.py"
    path.write_text(program)
    with subprocess.Popen([sys.executable, str(path), broker_url], stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout
        try:
            wait_for_queue(broker_url, "listener.prints")
            payment = RabbitMQ(broker_url).connect("payment")
            first, second, third = captured(1), captured(2), captured(3)
            for group in ([first, second], [first], [third]):
                payment.publish(group)
                settle(payment, len(group))
            payment.close()
            lines = [listener.stdout.readline().split(" ", 1) for _ in range(3)]
        finally:
            listener.kill()
    assert {kind for kind, _ in lines} == {"payment.captured"}
    assert [json.loads(body)["order_id"] for _, body in lines] == [order_id(1), order_id(2), order_id(3)]
