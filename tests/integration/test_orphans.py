"""A server's processes end together, and a second start says who is in its way."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

import pytest

from order_service.cli.stack.ports import free_port
from shared.config import environment
from tests.component.apps import KEYS, prepare


def eventually(happens: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    url = f"sqlite:///{tmp_path}/order.db"
    prepare("order", url)
    return environment(DATABASE_URL=url, API_KEYS=KEYS, PORT=str(free_port()), LOG_FORMAT="text")


def web(settings: dict[str, str]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "order_service", "web"]
    return subprocess.Popen(command, env=settings, stderr=subprocess.PIPE, text=True)


def listening(settings: dict[str, str]) -> bool:
    port = f":{int(settings['PORT']):04X} "
    return any(port in line and " 0A " in line for line in Path("/proc/net/tcp").read_text().splitlines())


def answers(settings: dict[str, str], address: str = "127.0.0.1") -> bool:
    connection = HTTPConnection(address, int(settings["PORT"]), timeout=10)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def test_a_killed_server_leaves_no_process_that_keeps_its_port(settings: dict[str, str]) -> None:
    """Also when it had several processes: the next start finds the port free."""
    server = web({**settings, "WEB_PROCESSES": "2"})
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    eventually(lambda: listening(settings) and len(children.read_text().split()) == 2)
    server.kill()
    server.communicate(timeout=30)
    eventually(lambda: not listening(settings))
    again = web(settings)
    eventually(lambda: answers(settings))
    again.terminate()
    again.communicate(timeout=30)
    assert again.returncode == 0


def test_a_process_that_dies_is_replaced(settings: dict[str, str]) -> None:
    """As long as the server is not told to stop, which ends them all."""
    server = web({**settings, "WEB_PROCESSES": "2"})
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    eventually(lambda: len(children.read_text().split()) == 2)
    before = set(children.read_text().split())
    os.kill(int(min(before)), signal.SIGKILL)
    eventually(lambda: len(set(children.read_text().split()) - {min(before)}) == 2)
    after = {int(each) for each in children.read_text().split()}
    server.terminate()
    server.communicate(timeout=30)
    assert server.returncode == 0
    assert not [each for each in after if Path(f"/proc/{each}").exists()]


def test_a_second_start_says_who_holds_the_port(settings: dict[str, str]) -> None:
    """One line with the process and its command, and exit code 1."""
    first = web(settings)
    eventually(lambda: listening(settings))
    second = web(settings)
    _, said = second.communicate(timeout=60)
    first.terminate()
    first.communicate(timeout=30)
    assert second.returncode == 1
    assert f"PORT {settings['PORT']} is in use, by process {first.pid}: " in said
    assert "order_service web" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(("host", "asked"), [("::1", "::1"), ("::", "127.0.0.1"), ("localhost", "127.0.0.1")])
def test_addresses_of_both_kinds_can_be_listened_at(settings: dict[str, str], host: str, asked: str) -> None:
    """`::` is every address, of IPv4 as well."""
    server = web({**settings, "HOST": host, "DEMO": "on"})

    eventually(lambda: answers(settings, asked))
    server.terminate()
    server.communicate(timeout=30)
    assert server.returncode == 0


HANGS = """
import signal, threading
from shared import processes
processes.STOPS_WITHIN = 0.1
stop = processes.stopped_by_signals(processes.end_in_time)
print("lives", flush=True)
stop.wait()
threading.Event().wait()
"""


def test_whoever_does_not_come_to_its_end_says_what_it_waits_for() -> None:
    """Told to stop, it ends by itself before a supervisor would kill it, with what each of its threads was at."""
    process = subprocess.Popen([sys.executable, "-c", HANGS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "lives\n"
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert 'File "<string>", line 8 in <module>' in said
