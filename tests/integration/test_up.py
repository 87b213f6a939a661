"""`fulfillment up` on real servers, with processes killed in the middle of everything."""

import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from order_service.cli.stack import PostgreSQL, free_ports
from order_service.cli.system.audit import settled_books
from order_service.cli.system.books import open_databases
from order_service.cli.system.up import ready
from shared.bootstrap import system_topology
from shared.config import environment
from tests.benchmarks.mix import Shop

SERVICES = ("inventory", "order", "payment", "shipping")
KEYS = {"operator": "up-operator", "customer": "up-alice"}


class Up:
    """A running `fulfillment up`, with everything that it printed."""

    def __init__(self, process: "subprocess.Popen[str]", ports: dict[str, int]) -> None:
        self.process = process
        self.urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        self.lines: list[str] = []
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout:
            self.lines += iter(self.process.stdout.readline, "")

    def output(self) -> str:
        return "".join(self.lines)

    def wait_until(self, what: str, happens: Callable[[], bool], patience: float = 40) -> None:
        until = time.monotonic() + patience
        while not happens():
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < until, f"not {what}:\n{self.output()}"
            time.sleep(0.05)

    def workers(self) -> dict[str, int]:
        """The process ids of the workers that have said that they started, the latest of each by its name."""
        return {name: int(pid) for name, pid in re.findall(r"(\w+-worker-\d) +\|.* worker (\d+) starts", self.output())}


@contextmanager
def running_up(broker_url: str, database: str, *options: str, **variables: str) -> Iterator[Up]:
    ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
    command = [sys.executable, "-m", "order_service.cli", "up", "--broker", broker_url, "--database", database]
    command += ["--ports", ",".join(f"{name}={port}" for name, port in ports.items()), *options]
    keys = f"{KEYS['operator']}:operator,{KEYS['customer']}:customer:alice"
    settings = environment(**{"API_KEYS": keys, "LOG_LEVEL": "INFO", **variables})
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=settings)
    up = Up(process, ports)
    try:
        up.wait_until("ready", lambda: "place an order" in up.output())
        yield up
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(30)
        up.thread.join()


@pytest.fixture
def database_template(postgresql_server: PostgreSQL) -> Iterator[str]:
    """Where `up` may make databases of its own."""
    prefix = f"up_{secrets.token_hex(6)}_"
    yield postgresql_server.url(prefix + "{service}")
    postgresql_server.drop(prefix)


@pytest.mark.timeout(240)
def test_every_order_ends_and_every_book_balances_though_workers_are_killed(
    broker_url: str, database_template: str
) -> None:
    """Of 300 orders of mixed fate each ends as it must, though one of two workers of each service is killed by SIGKILL
    in the middle. The books add up, every message is worked, no letter is dead, and all stops in good order."""
    paces = {"STEP_TIMEOUTS": "payment=2,inventory=5,shipping=5,capture=2,issue=5,dispatch=5"}
    options = ("--workers", "2", "--create-databases")
    with running_up(broker_url, database_template, *options, **paces) as up:
        shop = Shop(up.urls, **KEYS)
        shop.receive_goods()
        placing = threading.Thread(target=shop.place, args=(300, 6))
        placing.start()
        up.wait_until("half placed", lambda: len(shop.fates) >= 150)
        killed = {name: pid for name, pid in up.workers().items() if name.endswith("-1")}
        assert len(killed) == 4
        for pid in killed.values():
            os.kill(pid, signal.SIGKILL)
        placing.join()
        shop.wait_for_the_end(90)
        with open_databases(database_template) as databases:
            books = settled_books(databases, wait=30)
        assert shop.failures == []
        assert shop.wrong_ends() == []
        assert len(books.orders.orders) == len(shop.fates) == 300
        assert books.under_way == []
        assert list(map(str, books.differences)) == []
        assert all(f"{name} " in up.output() and "was killed by SIGKILL" in up.output() for name in killed)
        up.wait_until("started again", lambda: all(up.workers()[name] != pid for name, pid in killed.items()))
        began = time.monotonic()
        up.process.send_signal(signal.SIGTERM)
        assert up.process.wait(20) == 0, up.output()
        assert time.monotonic() - began < 15
    assert undelivered(broker_url) == 0
    assert "Traceback" not in up.output()


def test_it_runs_on_sqlite_files_and_makes_keys(broker_url: str, tmp_path: Path) -> None:
    """With an SQLite file per service, an order placed with a key that `up` printed is fulfilled."""
    with running_up(broker_url, f"sqlite:///{tmp_path}/{{service}}.db", API_KEYS="") as up:
        token = re.search(r"operator: +export FULFILLMENT_TOKEN=(\S+)", up.output())
        assert token
        command = [sys.executable, "-m", "order_service.cli", "place", "--url", up.urls["order"], "--watch"]
        done = subprocess.run(
            command, env=environment(FULFILLMENT_TOKEN=token[1]), capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr + up.output()
        assert "fulfilled" in done.stdout.splitlines()[-1]
        assert all(ready(url) for url in up.urls.values())


def undelivered(broker_url: str) -> int:
    """Messages that any queue of the broker still holds."""
    import pika

    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        channel = connection.channel()
        queues = system_topology().queues
        return sum(channel.queue_declare(name, passive=True).method.message_count for name in queues)
