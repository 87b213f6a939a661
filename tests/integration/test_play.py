"""`fulfillment play`: one command, one link, and a state that survives the worst."""

import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path

from order_service.cli.client.api import Api
from order_service.cli.system.embedded import CUSTOMER, OPERATOR
from tests.component.apps import ORDER


@contextmanager
def playing(folder: Path, *options: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The program and its link."""
    command = [sys.executable, "-u", "-m", "order_service.cli", "play", "--no-browser", "--port", "0"]
    with subprocess.Popen(
        [*command, "--folder", str(folder), *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            found = re.fullmatch(r"Open (http://\S+)\n", line)
            assert found, line + process.stdout.read()
            yield process, found.group(1)
        finally:
            process.kill()


def ended(process: "subprocess.Popen[str]") -> str:
    """All that it prints after Ctrl-C."""
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=60)[0]


def statuses(api: Api) -> list[str]:
    return [each["status"] for each in api.get("/orders", limit=200)["items"]]


def test_the_link_signs_in_and_ctrl_c_prints_the_books(tmp_path: Path) -> None:
    """The link leads to the board of an operator; the end is clean, and the books add up."""
    with playing(tmp_path, "--rate", "300") as (process, link):
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        with browser.open(link) as answer:
            assert answer.url.endswith("/console")
            assert "Break it" in answer.read().decode()
        url = link.partition("/console")[0]
        with Api(url, OPERATOR) as api:
            while "fulfilled" not in statuses(api):
                assert process.poll() is None
        output = ended(process)
    assert process.returncode == 0, output
    assert "The books add up" in output
    assert "Traceback" not in output


def test_after_kill_9_the_next_start_goes_on(tmp_path: Path) -> None:
    """Orders that were under way when the program was killed end all the same, and the books add up."""
    with playing(tmp_path, "--rate", "0") as (process, link):
        with Api(link.partition("/console")[0], CUSTOMER) as api:
            placed = {api.place(ORDER)["id"] for _ in range(5)}
        process.kill()
    with playing(tmp_path, "--rate", "0") as (process, link):
        with Api(link.partition("/console")[0], CUSTOMER) as api:
            while not {"pending", "confirmed", "paid", "cancelling"}.isdisjoint(statuses(api)):
                assert process.poll() is None
            assert {each["id"] for each in api.get("/orders")["items"]} == placed
        output = ended(process)
    assert process.returncode == 0, output
    assert "The books add up: every order" in output


def test_two_do_not_play_in_one_folder_and_fresh_forgets(tmp_path: Path) -> None:
    """The second ends with one line; with --fresh nothing of before is left."""
    with playing(tmp_path, "--rate", "0") as (process, link):
        with Api(link.partition("/console")[0], CUSTOMER) as api:
            api.place(ORDER)
        command = [sys.executable, "-m", "order_service.cli", "play", "--folder", str(tmp_path), "--port", "0"]
        second = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert second.returncode == 1
        assert second.stderr == f"somebody plays in {tmp_path} already; choose another --folder\n"
        ended(process)
    with playing(tmp_path, "--rate", "0", "--fresh") as (process, link):
        with Api(link.partition("/console")[0], CUSTOMER) as api:
            assert statuses(api) == []
        ended(process)
