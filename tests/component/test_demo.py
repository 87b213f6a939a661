"""`fulfillment demo`, whole: what it promises is what it does."""

import os
import re
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from order_service.cli import fulfillment
from order_service.cli.system.demo import perform
from order_service.cli.system.scenarios import ACTS, Play, Scenario

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.slow
def test_every_order_ends_as_it_should_and_the_books_add_up() -> None:
    """It exits with 0, having shown every order's way and the books."""
    result = CliRunner().invoke(fulfillment, ["demo"])
    assert result.exit_code == 0, result.output
    scenarios = [each for act in ACTS for each in act]
    for each in scenarios:
        ended = rf"{re.escape(each.title)} +{each.status}(: {(each.reason or '').replace('_', ' ')})?  "
        assert re.search(ended, result.output), each.title
    assert "The books add up" in result.output
    assert f"{len(scenarios)} orders ended as they should" in result.output
    shown = README.read_text().partition("<!-- demo -->\n```\n")[2].partition("```")[0]
    assert without_time(shown) <= without_time(result.output)


def without_time(output: str) -> set[str]:
    """The lines, whatever the clock said and however many messages and other rows it took."""
    return {
        re.sub(r"[\d.]+ s\b|[\d,]+ (?!cancelled|fulfilled|orders)[a-z]+| +", " ", line).strip()
        for line in output.splitlines()
    }


def test_an_order_that_ends_otherwise_makes_it_fail(tmp_path: Path) -> None:
    """An order that should have been fulfilled and was cancelled: all did not go well, and the order is named."""

    def declined(play: Play) -> None:
        play.place(card="tok_declined")

    screen = Console(file=StringIO(), width=150)
    assert not perform(tmp_path, screen, [[Scenario("a hopeful order", declined, "fulfilled")]])
    output = screen.file.getvalue()
    assert "a hopeful order: it ended as" in output
    assert "not everything ended as it should" in output


@pytest.mark.slow
def test_an_interrupt_ends_it_cleanly() -> None:
    """Ctrl-C in the middle: it is soon gone, with one word and no traceback."""
    command = [sys.executable, "-u", "-m", "order_service.cli", "demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout
        shown = ""
        while "pending" not in shown:
            shown += process.stdout.readline()
        os.kill(process.pid, signal.SIGINT)
        rest = process.communicate(timeout=120)[0]
    assert process.returncode == 130
    assert rest.splitlines()[-1] == "stopped"
    assert "Traceback" not in rest
