"""What may be written to a terminal, and how orders look on narrow ones, on other days and in other zones."""

import json
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO, StringIO, TextIOWrapper
from typing import Any

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from order_service.cli import COMMANDS, SECTIONS, Commands, fulfillment
from order_service.cli.client.api import Refused, Unreachable
from order_service.cli.client.ending import NEXT, Exit, exit_of, next_step
from order_service.cli.client.rendering import MARKS, history_lines, listing
from order_service.cli.client.times import Times
from order_service.cli.examples import EXAMPLES
from shared.terminal import ASCII, harmless, harmless_document, say, write_what_can_be_written
from tests.architecture.source import ROOT
from tests.unit.test_readme import check_call

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
TOKYO = timezone(timedelta(hours=9), "JST")
HOSTILE = "a\x1b[2Jb\r\nc\u202ed\u2066e\x9bf\x00"


def order(**other: Any) -> Mapping[str, Any]:
    return {
        "id": "01a00000-0000-7000-8000-00000000abcd",
        "customer_id": "a-customer-with-a-name-of-some-length",
        "placed_at": "2026-11-28T11:59:58.123456Z",
        "total": 1_234_567_89,
        "currency": "EUR",
        "status": "cancelling",
        "reason": "payment_declined",
        "needs_attention": True,
        **other,
    }


def test_what_a_terminal_would_obey_is_escaped() -> None:
    """Escape sequences, ends of lines and marks of direction are shown; letters of every script stay as they are."""
    assert harmless(HOSTILE) == r"a\x1b[2Jb\r\nc\u202ed\u2066e\x9bf\x00"
    assert harmless("Zoë Ångström, 東京") == "Zoë Ångström, 東京"
    assert harmless_document({HOSTILE: [{"n": 1, "t": HOSTILE, "none": None}]}) == {
        harmless(HOSTILE): [{"n": 1, "t": harmless(HOSTILE), "none": None}]
    }


def test_a_terminal_without_unicode_gets_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks have stand-ins of one character, no two alike; anything else is escaped, and nothing fails."""
    taken = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(taken, encoding="ascii"))
    write_what_can_be_written()
    say("payment ✓ stock ✗", "Zoë \udcff")
    assert taken.getvalue() == b"payment + stock x\nZo\\xeb \\udcff\n"
    marks = [mark.translate(ASCII) for mark, _ in MARKS.values()]
    assert "".join(marks).isascii()
    assert len(set(marks)) == len(marks)
    page = (ROOT / "docs/command-line.md").read_text()
    assert {name for name in MARKS if f"`{MARKS[name][0].translate(ASCII)}` {name}" in " ".join(page.split())} == set(
        MARKS
    )


@pytest.mark.parametrize("width", [150, 80, 60, 40, 20])
def test_a_list_has_whole_ids_and_statuses_at_every_width(width: int) -> None:
    """However narrow the terminal is, no line is longer, and only other columns are left out, which is said."""
    screen = Console(file=StringIO(), width=width)
    screen.print(listing([order(), order(status="awaiting_approval", reason=None)], Times(NOW, UTC), screen))
    text = screen.file.getvalue()
    assert all(len(each) <= width for each in text.splitlines())
    together = "".join(text.split())
    assert together.count("01a00000-0000-7000-8000-00000000abcd") == 2
    if width >= 60:
        assert "awaiting approval" in text
        assert all("01a00000-0000-7000-8000-00000000abcd" in each for each in text.splitlines() if "01a0" in each)
    for word in ("cancelling:", "payment", "declined", "attention", "awaiting", "approval"):
        assert word in text
    assert ("or with --json" in " ".join(text.split())) == (width in (80, 60))


def test_moments_have_a_date_unless_they_are_of_today() -> None:
    """It is the reader's today: in Tokyo it is another day than in London, and the zone is named."""
    london, tokyo = Times(NOW, UTC), Times(NOW, TOKYO)
    assert london("2026-11-28T15:30:00Z") == "15:30:00"
    assert tokyo("2026-11-28T15:30:00Z") == "2026-11-29 00:30:00"
    assert london("2026-11-27T23:59:59.987654Z", exact=True) == "2026-11-27 23:59:59.987"
    assert tokyo.whole("2026-11-28T01:00:00Z") == "10:00:00 JST"
    assert Times(None, UTC)("2026-11-28T15:30:00Z") == "2026-11-28 15:30:00"
    assert tokyo("9999-12-31T23:59:59Z") == "9999-12-31T23:59:59Z"  # has no such moment in Tokyo
    assert london(None) == london.whole(None) == ""


def test_history_stands_in_columns_and_shows_notes() -> None:
    """Lines of several days are aligned, and what a person wrote is beside what he did."""
    entry = {
        "seq": 1,
        "actor": "payment",
        "event": "payment.declined",
        "step": "payment",
        "outcome": "acted",
        "did": [],
    }
    said = {**entry, "at": "2026-11-27T12:00:00Z", "detail": "no"}
    note = {**entry, "at": "2026-11-28T12:00:00Z", "actor": "operator:olga", "event": "retry_requested", "detail": "hm"}
    assert history_lines([said, note], Times(NOW, UTC)) == [
        "  1  2026-11-27 12:00:00.000  payment               payment.declined “no”",
        "  1             12:00:00.000  operator:olga         retry_requested payment “hm”",
    ]


def test_help_is_for_every_terminal() -> None:
    """`--help` names every command in its section; all help is ASCII, because click writes UTF-8 whatever is asked."""
    overview = CliRunner().invoke(fulfillment, ["-h"]).output
    for section, names in SECTIONS.items():
        assert f"\n{section}:\n" in overview
        assert all(re.search(rf"^  {name}  +\S", overview, re.MULTILINE) for name in names)
    assert CliRunner().invoke(fulfillment, ["--version"]).output.count(".") == 2

    def pages(command: click.Command, *words: str) -> Iterator[str]:
        yield CliRunner().invoke(fulfillment, [*words, "--help"]).output
        if isinstance(command, click.Group):
            for name in set(command.list_commands(click.Context(command))) - {"bench"}:  # a program of its own
                found = command.get_command(click.Context(command), name)
                assert found
                yield from pages(found, *words, name)

    assert all(page.isascii() for page in pages(fulfillment))


def test_every_command_has_an_example_that_works() -> None:
    """At the foot of its help; each is understood, with its options."""

    def named(command: click.Command, *words: str) -> Iterator[str]:
        if words and words != ("bench",):  # a program of its own
            yield " ".join(words)
        for name, each in command.commands.items() if isinstance(command, click.Group) and words else ():
            yield from named(each, *words, name)

    commands = {name: fulfillment.get_command(click.Context(fulfillment), name) for name in COMMANDS}
    assert {each for name, command in commands.items() if command for each in named(command, name)} == EXAMPLES.keys()
    for name, examples in EXAMPLES.items():
        shown = CliRunner().invoke(fulfillment, [*name.split(), "--help"]).output
        for example in examples:
            assert f"  fulfillment {example}\n" in shown
            check_call(fulfillment, shlex.split(example))


def test_a_failure_says_the_next_step() -> None:
    """In a line of its own, and as a member of the problem."""
    assert next_step(Refused(403, {})) == NEXT[Exit.FORBIDDEN]
    assert next_step(Unreachable("nobody")) == NEXT[Exit.UNAVAILABLE]
    assert next_step(click.UsageError("no")) is None
    told = CliRunner().invoke(fulfillment, ["list", "--token", "t", "--url", "http://127.0.0.1:9", "--json"])
    assert json.loads(told.stderr)["next_step"] == NEXT[Exit.UNAVAILABLE]
    told = CliRunner().invoke(fulfillment, ["list", "--token", "t", "--url", "http://127.0.0.1:9"])
    assert told.stderr.splitlines()[-1] == f"Next: {NEXT[Exit.UNAVAILABLE]}"


def test_what_keeps_a_command_from_its_work_is_said_harmlessly() -> None:
    """It may name a stranger's process or file: it is a line for each of its lines, or JSON, and exit code 1."""

    @click.command()
    @click.option("--json", "as_json", is_flag=True)
    def failing(as_json: bool) -> None:
        raise click.ClickException("port 8000 is taken by \x1b[2Jevil\nchoose another one")

    class One(Commands):
        def get_command(self, context: click.Context, name: str) -> click.Command:
            return failing

    told = CliRunner().invoke(One(), ["failing"])
    assert (told.exit_code, told.stderr) == (1, "Error: port 8000 is taken by \\x1b[2Jevil\nchoose another one\n")
    told = CliRunner().invoke(One(), ["failing", "--json"])
    assert (told.exit_code, json.loads(told.stderr)["type"]) == (1, "urn:problem-type:fulfillment:not-well")


def test_the_page_has_every_exit_code() -> None:
    """docs/command-line.md lists the codes by the names that the program has for them."""
    rows = [line.split(" | ")[:2] for line in (ROOT / "docs/command-line.md").read_text().splitlines()]
    listed = {(row[0].removeprefix("| "), row[1]) for row in rows if row[0].removeprefix("| ").isdecimal()}
    assert listed == {(str(code.value), code.name.lower().replace("_", " ")) for code in Exit}


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, 6), (401, 3), (403, 3), (404, 4), (408, 7), (409, 5), (415, 6), (422, 6), (429, 7), (500, 7), (503, 7)],
)
def test_the_exit_code_tells_the_kind_of_refusal(status: int, code: int) -> None:
    """Who may not, what is not there, what cannot be now, what is wrong, and what may be tried again are told apart."""
    assert exit_of(Refused(status, {})) == code
    assert exit_of(Unreachable("nobody")) == Exit.UNAVAILABLE
