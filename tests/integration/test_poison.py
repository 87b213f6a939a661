"""A message that kills or hangs its worker is worked alone, and put aside after five of them; the others are done."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import chain

import pytest

from payment_service.service import SERVICE
from shared.contracts import PaymentRequested
from shared.messaging.broker import Connection
from shared.messaging.brokers.rabbitmq import RabbitMQ
from shared.messaging.topology import topology
from tests.component.bench import Bench, order_id
from tests.contract.test_broker import settle

HANDLED = topology({"order": [], "payment": list(SERVICE.handlers), "inventory": [], "shipping": []})
ORDERS = 300
LETHAL = 167  # amid those that travel with it


@pytest.fixture
def bench(postgres_url: str) -> Iterator[Bench]:
    bench = Bench(SERVICE, postgres_url)
    yield bench
    bench.close()


@pytest.fixture
def order_side(broker_url: str) -> Iterator[Connection]:
    broker = RabbitMQ(broker_url)
    broker.provision(HANDLED)
    connection = broker.connect("order")
    yield connection
    connection.close()


def request(number: int, token: str) -> PaymentRequested:
    return PaymentRequested(order_id=order_id(number), amount=1999, currency="EUR", payment_token=token)


def until_quiet(bench: Bench, broker_url: str, watchdog: str, done: str) -> list[int]:
    """Start a worker, and another whenever it ends, until the query `done` finds true; returns how they ended."""
    environment = {
        **os.environ,
        "DATABASE_URL": bench.database.url,
        "BROKER_URL": broker_url,
        "WATCHDOG": watchdog,
        "NETWORK_TIMEOUT": "0.5",
        "LOG_LEVEL": "ERROR",
    }
    ends: list[int] = []
    deadline = time.monotonic() + 400
    worker = subprocess.Popen([sys.executable, "-m", "tests.integration.lethal_worker"], env=environment)
    try:
        while not bench.rows(done)[0][0]:
            assert time.monotonic() < deadline, ends
            try:
                ends.append(worker.wait(0.2))
            except subprocess.TimeoutExpired:
                continue
            worker = subprocess.Popen([sys.executable, "-m", "tests.integration.lethal_worker"], env=environment)
    finally:
        worker.terminate()
    assert worker.wait(120) == 0
    return ends


@pytest.mark.parametrize(
    ("token", "end", "watchdog"),
    [("tok_lethal", -signal.SIGKILL, "60"), ("tok_hang", 75, "3")],
    ids=["lethal", "hangs"],
)
@pytest.mark.timeout(600)
def test_a_lethal_message_is_put_aside(
    bench: Bench, order_side: Connection, broker_url: str, token: str, end: int, watchdog: str
) -> None:
    """Its worker dies twice with its batch and five times alone; then it is a dead letter, and nobody else is."""
    tokens = chain(["tok_visa"] * LETHAL, [token], ["tok_visa"] * (ORDERS - LETHAL - 1))
    order_side.publish([bench.enclose(request(number, each)) for number, each in enumerate(tokens)])
    assert settle(order_side, ORDERS)[1] == {}
    ends = until_quiet(
        bench,
        broker_url,
        watchdog,
        f"""SELECT (SELECT COUNT(*) FROM payments WHERE status = 'authorized') = {ORDERS - 1}
            AND (SELECT COUNT(*) FROM dead_letters WHERE state = 'parked') = 1""",
    )
    assert set(ends) == {end}
    assert 6 <= len(ends) <= 8
    (reason,) = bench.buried()
    assert reason.startswith("lethal")
    assert bench.rows("SELECT COUNT(*) FROM dead_letters") == [(1,)]
    assert bench.rows("SELECT correlation_id FROM dead_letters") == [(order_id(LETHAL),)]
