"""`fulfillment up` on real servers, with processes killed in the middle of everything."""

import itertools
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from http.client import HTTPException
from http.cookiejar import CookieJar
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode

import pytest

from order_service.cli.client.api import Api, Refused, Unreachable
from order_service.cli.stack import PostgreSQL, Program, free_port, free_ports, listener, spawn, tree
from order_service.cli.system import preparing
from order_service.cli.system.audit import audit_at_rest, open_databases
from order_service.cli.system.up import SAMPLE, ready
from order_service.web.console.sessions import form_token
from shared.bootstrap import system_topology
from shared.config import environment
from shared.service import services
from tests.crowd import wait_for
from tests.integration.test_stack import is_there
from tests.mix import Shop

T = TypeVar("T")
SERVICES = tuple(services())
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

    def wait_until(self, what: str, happens: Callable[[], bool], patience: float = 120) -> None:
        until = time.monotonic() + patience
        while not happens():
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < until, f"not {what}:\n{self.output()}"
            time.sleep(0.05)

    def workers(self) -> dict[str, int]:
        """The process ids of the workers that have said that they started, the latest of each by its name."""
        return {name: int(pid) for name, pid in re.findall(r"(\w+-worker-\d) +\|.* worker (\d+) starts", self.output())}


def start_up(*options: str, ports: dict[str, int], **variables: str) -> "subprocess.Popen[str]":
    given = ["--ports", ",".join(f"{name}={port}" for name, port in ports.items()), *options]
    keys = f"{KEYS['operator']}:operator,{KEYS['customer']}:customer:alice"
    settings = environment(**{"API_KEYS": keys, "LOG_LEVEL": "INFO", **variables})
    program = Program(
        name="up", command=[sys.executable, "-m", "order_service.cli", "up", *given], environment=settings
    )
    return spawn(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@contextmanager
def running_up(*options: str, **variables: str) -> Iterator[Up]:
    ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
    up = Up(process := start_up(*options, ports=ports, **variables), ports)
    try:
        up.wait_until("ready", lambda: "place an order" in up.output())
        yield up
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)
        up.thread.join()


@pytest.fixture
def database_template(postgresql_server: PostgreSQL) -> Iterator[str]:
    """Where `up` may make databases of its own."""
    prefix = f"up_{secrets.token_hex(6)}_"
    yield postgresql_server.url(prefix + "{service}")
    postgresql_server.drop(prefix)


@pytest.mark.timeout(600)
def test_every_order_ends_and_every_book_balances_though_workers_are_killed(
    broker_url: str, database_template: str
) -> None:
    """Of 300 orders of mixed fate each ends as it must, though one of two workers of each service is killed by SIGKILL
    in the middle. The books add up, every message is worked, no letter is dead, and all stops in good order."""
    paces = {"STEP_TIMEOUTS": "payment=2,inventory=5,shipping=5,capture=2,issue=5,dispatch=5"}
    paces["STEP_ATTEMPTS"] = "payment=7,inventory=6,shipping=6"  # a slow machine is no reason to turn back
    options = ("--broker", broker_url, "--database", database_template, "--workers", "2", "--create-databases")
    with running_up(*options, **paces) as up:
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
        shop.wait_for_the_end(300)
        with open_databases(database_template) as databases:
            found = audit_at_rest(databases, wait=30)
        assert shop.failures == []
        assert shop.wrong_ends() == []
        assert found.checked["orders"] == len(shop.fates) == 300
        assert found.under_way == []
        assert list(map(str, found.violations)) == []
        assert all(f"{name} " in up.output() and "was killed by SIGKILL" in up.output() for name in killed)
        up.wait_until("started again", lambda: all(up.workers()[name] != pid for name, pid in killed.items()))
        up.process.send_signal(signal.SIGTERM)
        assert up.process.wait(60) == 0, up.output()
    assert undelivered(broker_url) == 0
    assert "Traceback" not in up.output()


def test_it_runs_on_sqlite_files_and_makes_keys(broker_url: str, tmp_path: Path) -> None:
    """With an SQLite file per service, an order placed with a key that `up` printed is fulfilled."""
    template = f"sqlite:///{tmp_path}/{{service}}.db"
    with running_up("--broker", broker_url, "--database", template, API_KEYS="") as up:
        token = re.search(r"operator: +export FULFILLMENT_TOKEN=(\S+)", up.output())
        assert token
        command = [sys.executable, "-m", "order_service.cli", "place", "--url", up.urls["order"], "--watch"]
        done = subprocess.run(
            command, env=environment(FULFILLMENT_TOKEN=token[1]), capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr + up.output()
        assert "fulfilled" in done.stdout.splitlines()[-1]
        assert all(ready(url) for url in up.urls.values())


@pytest.mark.rabbitmq
@pytest.mark.postgresql
@pytest.mark.timeout(600)
def test_it_brings_servers_of_its_own_and_nothing_of_it_is_left(open_folder: Path) -> None:
    """With --servers there is a RabbitMQ and a PostgreSQL as well, with --proxy an nginx at the APIs' ports. A second
    start says who holds them. `kill -9` leaves no process, and all that was kept is there when it starts again."""
    with running_up("--servers", "--proxy", "--folder", str(open_folder)) as up:
        with Api(up.urls["order"], KEYS["customer"]) as api:
            placed = api.place(SAMPLE, "the-first")["id"]
            up.wait_until("fulfilled", lambda: api.get(f"/orders/{placed}")["status"] == "fulfilled")
        started = tree(up.process.pid)
        assert {"postgres", "beam.smp", "epmd", "nginx"} <= {name_of(pid) for pid in started}
        holders = {name: listener(int(url.rpartition(":")[2])) for name, url in up.urls.items()}
        assert {name_of(pid) for pid in holders.values() if pid} == {"nginx"}
        second = start_up(ports={name: int(url.rpartition(":")[2]) for name, url in up.urls.items()})
        said, _ = second.communicate(timeout=120)
        assert second.returncode == 1
        assert all(f"of {name} is taken by process " in said for name in SERVICES)
        up.process.kill()
        up.thread.join()
        wait_for(lambda: not any(is_there(pid) for pid in started))
    with running_up("--servers", "--folder", str(open_folder)) as up:
        with Api(up.urls["order"], KEYS["customer"]) as api:
            assert api.get(f"/orders/{placed}")["status"] == "fulfilled"
        third = start_up(
            "--servers", "--folder", str(open_folder), ports=dict(zip(SERVICES, free_ports(4), strict=True))
        )
        said, _ = third.communicate(timeout=120)
        assert (third.returncode, said.count("\n")) == (1, 1)
        assert "are running already" in said
        stop_all_at_once(up)


def stop_all_at_once(up: Up) -> None:
    """As with a machine that is shut down, while orders come: each process ends by itself, whoever ends before it."""
    placed, stop = threading.Semaphore(0), threading.Event()

    def place(number: int) -> None:
        with Api(up.urls["order"], KEYS["customer"]) as api, suppress(Refused, Unreachable):
            for turn in itertools.takewhile(lambda _: not stop.is_set(), itertools.count()):
                api.place(SAMPLE, f"{number}-{turn}")
                placed.release()

    with ThreadPoolExecutor(8) as crowd:
        for number in range(8):
            crowd.submit(place, number)
        assert all(placed.acquire(timeout=120) for _ in range(40))
        running = tree(up.process.pid)
        for pid in running:  # the first of them is `up`, which then starts nobody again
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        assert up.process.wait(120) == 0, up.output()
        stop.set()
    assert "is killed" not in up.output()


@pytest.mark.rabbitmq
@pytest.mark.postgresql
@pytest.mark.timeout(600)
def test_what_the_console_breaks_heals(open_folder: Path) -> None:
    """Servers, a worker and the console's own process are killed, frozen and stopped from the page; a worker that
    stands still is started there. An order placed meanwhile ends, and the books add up."""
    with running_up("--servers", "--folder", str(open_folder), "--console-may-break") as up:
        page = Page(up.urls["order"], KEYS["operator"])
        for part in ("order-web", "postgresql", "rabbitmq", "payment-worker-1"):
            page.set(part, "kill -9")
            up.wait_until(f"{part} killed", lambda part=part: f"{part} " in up.output() and killed(part, up.output()))
        page.set("inventory-worker-1", "stopped")
        page.set("broker", "cut all connections")
        with Api(up.urls["order"], KEYS["customer"]) as api:
            placed = page.patiently(lambda: api.place(SAMPLE, "meanwhile")["id"])
            page.set("inventory-worker-1", "running")
            page.set("postgresql", "frozen for 10 s")
            ends = {"fulfilled", "cancelled"}
            up.wait_until("ended", lambda: page.patiently(lambda: api.get(f"/orders/{placed}"))["status"] in ends)
        up.wait_until("heal", lambda: page.read("/console/break").count("chip is-attention") == 0, patience=60)
        marks = page.read("/console/break")
        assert all(f"{part}: kill -9" in marks for part in ("order-web", "postgresql", "rabbitmq"))
        books = page.read("/console/desk/audit")
        assert "The books add up" in books, books
        up.process.send_signal(signal.SIGTERM)
        assert up.process.wait(60) == 0, up.output()


def killed(name: str, output: str) -> bool:
    return re.search(rf"^{name} +\| was killed by SIGKILL", output, re.MULTILINE) is not None


class Page:
    """The console, as an operator uses it who tries again while it is broken."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._cookies = url, CookieJar()
        self._browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))
        self.read("/console/sign-in")
        self._post("/console/sign-in", "fulfillment_visitor", key=key)

    def read(self, path: str) -> str:
        return self.patiently(lambda: self._open(path))

    def set(self, part: str, choice: str) -> None:
        self.patiently(lambda: self._post("/console/break/parts", "fulfillment_session", part=part, choice=choice))

    def patiently(self, act: Callable[[], T]) -> T:
        until = time.monotonic() + 120
        while True:
            try:
                return act()
            except (OSError, HTTPException, Refused, Unreachable):
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)

    def _post(self, path: str, cookie: str, **form: str) -> str:
        (secret,) = [str(each.value) for each in self._cookies if each.name == cookie]
        return self._open(path, urlencode({**form, "form_token": form_token(secret)}).encode())

    def _open(self, path: str, form: bytes | None = None) -> str:
        with self._browser.open(f"{self._url}{path}", form, timeout=30) as answer:
            return str(answer.read().decode())


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_it_waits_for_a_server_that_boots(capsys: pytest.CaptureFixture[str]) -> None:
    """As long as nobody answers at a broker's address, and says so once."""
    port = free_port()
    said: list[str] = []

    def has_said(words: str) -> bool:
        said.append(capsys.readouterr().out)
        return "".join(said) == words

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(preparing.wait_for, f"amqp://guest:hunter2@127.0.0.1:{port}/")
        wait_for(lambda: has_said(f"waits for amqp://127.0.0.1:{port}/, which does not answer yet\n"))
        with socket.create_server(("127.0.0.1", port)) as server:
            while not waiting.done():
                connection, _ = server.accept()
                with connection:
                    assert connection.recv(8) == b"AMQP\0\0\x09\x01"
                    connection.sendall(b"\1")
                wait([waiting], timeout=1)
        waiting.result()
    assert capsys.readouterr().out == ""


def undelivered(broker_url: str) -> int:
    """Messages that any queue of the broker still holds."""
    import pika

    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        channel = connection.channel()
        queues = system_topology().queues
        return sum(channel.queue_declare(name, passive=True).method.message_count for name in queues)
