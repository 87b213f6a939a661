"""A RabbitMQ that blocks all publishers for longer than anybody's patience, with real processes."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from order_service.cli.stack import RabbitMQServer
from tests.integration.processes import running
from tests.integration.test_rabbitmq_faults import alarm

STEPS = ("payment", "inventory", "shipping", "capture", "issue", "dispatch")
PATIENCE = 3.0  # seconds that two askings of a second take, the second one with twice the patience
ALARM = 3 * PATIENCE


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_alarm_longer_than_the_patience_ends_no_order(
    rabbitmq_server: RabbitMQServer, new_postgresql_database: Callable[[], str], broker_url: str, tmp_path: Path
) -> None:
    """What is placed meanwhile is asked for once; what was under way goes on; afterwards all is fulfilled."""
    settings = {
        "STEP_TIMEOUTS": ",".join(f"{step}=1" for step in STEPS),
        "STEP_ATTEMPTS": ",".join(f"{step}=2" for step in STEPS),
        "NETWORK_LATENCY_MS": "300",
    }
    with running(new_postgresql_database, broker_url, tmp_path, **settings) as system:
        under_way = system.placed(20, "before")
        alarm(rabbitmq_server)
        try:
            meanwhile = system.placed(20, "meanwhile")
            until = time.monotonic() + ALARM
            while time.monotonic() < until:
                for order in map(system.order, (meanwhile[0], meanwhile[-1], under_way[-1])):
                    assert order["reason"] is None
                time.sleep(0.2)
            for order in map(system.order, meanwhile):
                attempts = {step["name"]: step["attempts"] for step in order["steps"]}
                assert (order["status"], attempts["payment"], attempts["inventory"]) == ("pending", 1, 1)
                assert not order["needs_attention"]
        finally:
            rabbitmq_server.control("set_vm_memory_high_watermark", "0.4")
        system.wait_until_fulfilled(under_way + meanwhile)
