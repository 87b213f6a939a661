"""Processes that are started too early, or against the wrong address: clear lines, no tracebacks."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from payment_service.service import SERVICE
from shared.bootstrap import system_topology
from shared.messaging.brokers.rabbitmq import RabbitMQ

CLOSED = "127.0.0.1:9"  # the port of "discard", on which nobody listens


def start(verb: str, **variables: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "LOG_FORMAT": "text", **variables}
    command = [sys.executable, "-m", SERVICE.package, *verb.split()]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def lines_until(process: "subprocess.Popen[str]", words: str) -> list[str]:
    """What the process says until it says these words."""
    said = []
    giving_up = threading.Timer(200, process.kill)
    giving_up.start()
    assert process.stdout
    for line in process.stdout:
        said.append(line)
        if words in line:
            break
    else:
        pytest.fail(f"never said {words!r}: {''.join(said)}")
    giving_up.cancel()
    return said


def test_a_worker_waits_for_its_broker_and_says_so(tmp_path: Path) -> None:
    """Without a broker it tries again and again, and says so in one short line; SIGTERM ends it in good order."""
    url = f"amqp://guest:hunter2@{CLOSED}/"
    worker = start("worker", DATABASE_URL=f"sqlite:///{tmp_path}/payment.db", BROKER_URL=url)
    said = lines_until(worker, "payment worker waits: ")
    worker.terminate()
    rest, _ = worker.communicate(timeout=120)
    assert worker.returncode == 0
    assert f"starts: amqp://{CLOSED}/, sqlite:///" in said[0]
    assert len(said) == 2
    assert "worker waits" not in rest
    assert "hunter2" not in "".join(said)
    assert "Traceback" not in "".join(said) + rest


def test_a_worker_without_tables_says_so(broker_url: str, database_url: str) -> None:
    """Started before `migrate`, it says what is missing and waits for it; told to stop, it ends in good order."""
    RabbitMQ(broker_url).provision(system_topology(), settle=0)
    worker = start("worker", DATABASE_URL=database_url, BROKER_URL=broker_url)
    said = lines_until(worker, "outbox")
    worker.terminate()
    rest, _ = worker.communicate(timeout=120)
    assert worker.returncode == 0
    assert "no such table" in said[-1] or 'relation "outbox" does not exist' in said[-1]
    assert "Traceback" not in "".join(said) + rest


@pytest.mark.parametrize("verb", ["migrate", "dead-letters list", "dead-letters replay --all"])
def test_a_verb_without_its_database_ends_with_one_line(verb: str) -> None:
    """The line names the service and the server that does not answer, and the exit code is 1."""
    url = f"postgresql+psycopg://shop:hunter2@{CLOSED}/shop"
    said, _ = (process := start(verb, DATABASE_URL=url)).communicate(timeout=120)
    assert process.returncode == 1
    assert said.startswith("payment: the database cannot be used: ")
    assert said.count("\n") == 1
    assert "hunter2" not in said


def test_a_verb_without_tables_says_so(database_url: str) -> None:
    """Before `migrate` there are no dead letters to list."""
    said, _ = (process := start("dead-letters list", DATABASE_URL=database_url)).communicate(timeout=120)
    assert process.returncode == 1
    assert said.startswith("payment: the database has not been migrated: ")
    assert said.count("\n") == 1
