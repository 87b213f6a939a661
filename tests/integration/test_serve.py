"""The web process for real: gunicorn, two processes on one port, and a stop that nobody notices."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from order_service.cli.stack import free_port
from shared.config import environment
from tests.component.apps import KEYS, ORDER, TOKENS, prepare


class Server:
    """A running web process."""

    def __init__(self, url: str, process: "subprocess.Popen[str]") -> None:
        self.url, self.process = url, process

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """The status and the document; 0 and the error when nobody answers."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        named |= {"Authorization": f"Bearer {TOKENS['alice']}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.url + path, content, named), timeout=120
            ) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
        except OSError as error:
            return 0, error

    def place(self, key: str) -> tuple[int, Any]:
        return self.ask("/orders", ORDER, Idempotency_Key=key)


@contextmanager
def serving(database_url: str, **variables: str) -> Iterator[Server]:
    """The order service's web process over a prepared database, stopped by SIGTERM in the end."""
    prepare("order", database_url)
    port = free_port()
    settings = environment(DATABASE_URL=database_url, API_KEYS=KEYS, PORT=str(port), **variables)
    command = [sys.executable, "-m", "order_service", "web"]
    process = subprocess.Popen(command, env=settings, stderr=subprocess.PIPE, text=True)
    server = Server(f"http://127.0.0.1:{port}", process)
    try:
        until = time.monotonic() + 120
        while server.ask("/readyz")[0] != 200:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=120)
    assert process.returncode == 0, log
    assert not any(token in log for token in TOKENS.values())


def test_a_stop_ends_a_wait_with_an_answer(postgres_url: str) -> None:
    """SIGTERM does not break off a long poll: it is answered, and the process ends well before its grace is over."""
    with ThreadPoolExecutor(1) as pool:
        with serving(postgres_url) as server:
            _, order = server.place("first")
            waiting = pool.submit(server.ask, f"/orders/{order['id']}?wait=30&version={order['version']}")
            time.sleep(0.5)  # it is on its way, or has begun to wait: both must end well
            assert not waiting.done()
            began = time.monotonic()
        assert waiting.result()[0] == 200
        assert time.monotonic() - began < 30


def test_twins_in_two_processes_are_one_order(postgres_url: str) -> None:
    """The same key at the same time through several processes: each answer is that order, or that the key is in use."""
    with serving(postgres_url, WEB_PROCESSES="2") as server, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: server.place(f"key-{number % 5}"), range(40)))
        assert {status for status, _ in answers} <= {202, 409}
        assert len({document["id"] for status, document in answers if status == 202}) == 5


def test_news_from_another_process_ends_a_wait(postgres_url: str) -> None:
    """Whoever writes it, the waiting hear of it."""
    with serving(postgres_url, WEB_PROCESSES="2") as server, ThreadPoolExecutor(1) as pool:
        for number in range(4):  # some of these pairs meet in different processes
            _, order = server.place(f"key-{number}")
            waiting = pool.submit(server.ask, f"/orders/{order['id']}?wait=30&version={order['version']}")
            began = time.monotonic()
            assert server.ask(f"/orders/{order['id']}/cancel", {})[0] == 202
            assert waiting.result()[1]["status"] == "cancelling"
            assert time.monotonic() - began < 30


HALF_A_REQUEST = {
    "a line": "GET /orders HT",
    "its headers": "POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Le",
    "its body": (
        "POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nContent-Length: 999\r\n"
        f"Authorization: Bearer {TOKENS['alice']}\r\nIdempotency-Key: slow\r\n\r\n{{"
    ),
}


@pytest.mark.parametrize("half", HALF_A_REQUEST)
def test_whoever_dawdles_is_cut_off(tmp_path: Path, half: str) -> None:
    """As many half-sent requests as there are threads hold up the others for seconds only."""
    with serving(f"sqlite:///{tmp_path}/order.db", WEB_THREADS="4") as server, ExitStack() as sockets:
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        dawdlers = [sockets.enter_context(socket.create_connection(address, timeout=120)) for _ in range(4)]
        for each in dawdlers:
            each.sendall(HALF_A_REQUEST[half].encode())
        assert server.ask("/orders")[0] == 200
        for each in dawdlers:
            with suppress(ConnectionResetError):
                assert b"202" not in each.recv(100)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"API_KEYS": ""}, "API_KEYS"),
        ({"PORT": "http"}, "PORT"),
        ({"STEP_TIMEOUTS": "paiment=3"}, "paiment"),
    ],
)
def test_what_is_misconfigured_ends_the_start_with_one_line(variables: dict[str, str], named: str) -> None:
    """And a non-zero exit code."""
    settings = environment(**{"API_KEYS": KEYS, "PORT": "0", **variables})
    command = [sys.executable, "-m", "order_service", "web"]
    ended = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode != 0
    assert named in ended.stderr
    assert ended.stderr.count("\n") == 1
