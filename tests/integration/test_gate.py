"""Strangers at the door: whatever they do, another customer is served, by the server alone and behind nginx."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from order_service.cli.stack import free_ports
from order_service.cli.stack.nginx import configuration
from tests.component.apps import ORDER, TOKENS
from tests.integration.test_serve import serving
from tests.strangers.gate import KINDS, place, strangers

PLACED = 8
CUSTOMER = "127.0.0.2"  # another address than the strangers'
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

pytestmark = pytest.mark.skipif(NGINX is None, reason="no nginx on this machine")


class Gate:
    def __init__(self, url: str, order_id: str) -> None:
        self.url, self.order_id = url, order_id


@contextmanager
def nginx(folder: Path, service: str) -> Iterator[dict[str, str]]:
    """nginx before a service at `host:port`; yields the URLs by the port that compose has. Nobody is behind 8001."""
    ports = dict(zip(("8000", "8001", "8002", "8003"), free_ports(4), strict=True))
    behind = {ports[port]: service if port == "8000" else "127.0.0.1:9" for port in ports}
    file = folder / "nginx.conf"
    file.write_text(configuration(folder, behind).replace("worker_shutdown_timeout 25s", "worker_shutdown_timeout 1s"))
    user = "user root; " if os.geteuid() == 0 else ""
    command = [str(NGINX), "-e", "stderr", "-c", str(file), "-g", f"{user}daemon off;"]
    process = subprocess.Popen(command)
    try:
        urls = {port: f"http://127.0.0.1:{here}" for port, here in ports.items()}
        until = time.monotonic() + 20
        while not _listens(ports["8000"]):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        yield urls
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(timeout=20)


def _listens(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@pytest.fixture(scope="module", params=["alone", "behind nginx"])
def gate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    folder = tmp_path_factory.mktemp("gate")
    folder.chmod(0o755)
    with serving(f"sqlite:///{folder}/order.db", TRUSTED_PROXY="127.0.0.1", LOG_LEVEL="ERROR") as server:
        for number in range(150):
            _, order = server.place(f"key-{number}")
        if request.param == "alone":
            yield Gate(server.url, order["id"])
            return
        with nginx(folder, server.url.removeprefix("http://")) as urls:
            yield Gate(urls["8000"], order["id"])


@pytest.mark.parametrize("kind", KINDS)
def test_another_customer_is_served_whatever_strangers_do(gate: Gate, kind: str) -> None:
    """Each of its orders is taken, though the strangers go on, and the server lives."""
    with strangers(kind, gate.url, TOKENS["alice"], gate.order_id):
        answers = [place(gate.url, TOKENS["bob"], ORDER, source=CUSTOMER) for _ in range(PLACED)]
    print(kind, [f"{each.seconds * 1000:.0f} ms" for each in answers])
    assert [each.status for each in answers] == [202] * PLACED


def ask(url: str, path: str = "/orders", **more: str) -> tuple[int, str, dict[str, str], bytes]:
    host = url.removeprefix("http://")
    connection = HTTPConnection(host, timeout=20)
    body = more.pop("body", None)
    connection.request("POST" if body else "GET", path, body, {"Authorization": f"Bearer {TOKENS['alice']}", **more})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    return response.status, response.headers["Content-Type"], dict(response.headers), text


def test_what_nginx_refuses_is_a_problem_too(tmp_path: Path) -> None:
    """A body that is too large, an address that is too long, headers that are, and a service that is away."""
    tmp_path.chmod(0o755)
    with (
        serving(f"sqlite:///{tmp_path}/order.db", TRUSTED_PROXY="127.0.0.1") as server,
        nginx(tmp_path, server.url.removeprefix("http://")) as urls,
    ):
        found = {
            "large": ask(urls["8000"], body="x" * 70_000),
            "address": ask(urls["8000"], "/" + "x" * 9_000),
            "headers": ask(urls["8000"], **{f"X-{number}": "x" * 8_000 for number in range(5)}),
            "away": ask(urls["8001"]),
            "served": ask(urls["8000"]),
        }
    assert {name: answer[0] for name, answer in found.items()} == {
        "large": 413, "address": 414, "headers": 400, "away": 503, "served": 200,
    }  # fmt: skip
    for name in ("large", "address", "headers", "away"):
        _, kind, _, text = found[name]
        assert kind == "application/problem+json"
        assert json.loads(text)["status"] == found[name][0]
    assert found["away"][2]["Retry-After"] == "2"


def test_nginx_ends_though_a_stream_goes_on(tmp_path: Path) -> None:
    """Asked to end in good order it answers what is under way, and after a while breaks off what would never end."""
    tmp_path.chmod(0o755)
    with (
        serving(f"sqlite:///{tmp_path}/order.db", TRUSTED_PROXY="127.0.0.1") as server,
        closing(HTTPConnection("127.0.0.1", 0, timeout=60)) as viewer,
    ):
        with nginx(tmp_path, server.url.removeprefix("http://")) as urls:
            _, order = server.place("first")
            viewer.port = int(urls["8000"].rpartition(":")[2])
            viewer.request(
                "GET", f"/orders/{order['id']}/events", headers={"Authorization": f"Bearer {TOKENS['alice']}"}
            )
            stream = viewer.getresponse()
            assert stream.status == 200
            assert stream.readline()
        assert server.ask("/readyz")[0] == 200
