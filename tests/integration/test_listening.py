"""docs/listening.md: its programs run, and print every event once, whether it travels alone or with others."""

import json
import os
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
NODE_MODULES = Path(sys.prefix) / "node" / "node_modules"  # by `deploy/prepare node`


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


@pytest.mark.parametrize(("language", "command"), [("python", sys.executable), ("javascript", "node")])
def test_the_listener_of_the_page_prints_every_event_once(
    language: str, command: str, broker_url: str, tmp_path: Path
) -> None:
    """Two that travel together, one alone, and a repeat: three lines, in either language."""
    RabbitMQ(broker_url).provision(system_topology(), settle=0)
    (program,) = re.findall(rf"```{language}\n(.+?)```", PAGE.read_text(), re.DOTALL)
    path = tmp_path / "listener"
    path.write_text(program)
    arguments, environment = [command, str(path), broker_url], {**os.environ, "NODE_PATH": str(NODE_MODULES)}
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True) as listener:
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
