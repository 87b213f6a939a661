"""A short proof, with real servers and processes."""

from pathlib import Path

import pytest

from order_service.cli.system.prove.running import Proof, run

CHEAP = (
    *("worker: ", "web process: ", "card network: ", "carrier: ", "messages: ", "database: ", "disk "),
    *("broker: cut all", "broker: short of memory", "broker: queues emptied", "postgresql: stopped at once"),
    *("to broker: silent", "to broker: reset", "to database: half open", "customers to web process: cut"),
)
FAULTS = 27


@pytest.mark.rabbitmq
@pytest.mark.postgresql
@pytest.mark.timeout(600)
def test_nothing_is_lost_whatever_breaks(tmp_path: Path) -> None:
    """Of five hundred orders none is lost, doubled or stuck, and nobody was told what is not so, though each of these
    kinds of faults comes once. What was broken, and what was wrong, is in the message."""
    told: list[str] = []
    proof = Proof(seed=12, orders=500, faults=FAULTS, seconds=20, only=CHEAP, alone=0.0, webs=1)
    found = run(proof, tmp_path, told.append)
    assert found.violations == [], "\n".join(told)
    assert found.orders == 500
    assert len({each.kind for each in found.done}) > FAULTS / 2, "\n".join(told)
    assert found.duplicates
    assert found.retries
    assert found.compensations
