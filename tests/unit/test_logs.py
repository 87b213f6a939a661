"""Log lines: one a record, whatever strangers put into them."""

import io
import json
import logging
import os
from collections.abc import Iterator
from importlib import import_module

import pytest

from shared.config import load
from shared.logs import Interruption, about, configure

log = logging.getLogger("fulfillment.test")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.captureWarnings(False)
    logging.root.handlers[:], logging.root.level = handlers, level


def logged(style: str) -> io.StringIO:
    stream = io.StringIO()
    configure(load(service="order", environ={"LOG_FORMAT": style}), stream)
    return stream


def test_a_json_line_says_who_logs() -> None:
    """Each line is an object with the service, the level and the message."""
    stream = logged("json")
    log.info("reserved %s", "POPULAR-LAMP")
    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert (line["service"], line["level"], line["message"]) == ("order", "INFO", "reserved POPULAR-LAMP")


def test_an_orders_id_is_a_field() -> None:
    """A line about one order names it as a member in JSON, and at its end in text; others have no such member."""
    lines = {}
    for style in ("json", "text"):
        stream = logged(style)
        log.info("parked", extra=about("0192"))
        log.info("nothing", extra=about(None))
        lines[style] = stream.getvalue().splitlines()
    assert [json.loads(each).get("order_id") for each in lines["json"]] == ["0192", None]
    assert [each.endswith("parked order_id=0192") for each in lines["text"]] == [True, False]


@pytest.mark.parametrize("style", ["json", "text"])
def test_a_line_stays_one_line(style: str) -> None:
    """A line feed inside a message cannot forge another record."""
    stream = logged(style)
    log.info("note: %s", "fine\r\n2026-01-01 ERROR forged\x1b[31m")
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


def test_a_traceback_is_indented_in_text_and_a_member_in_json() -> None:
    """An exception is logged whole, and recognizably not as records of its own."""
    for style in ("text", "json"):
        stream = logged(style)
        try:
            raise ValueError("one\ntwo")
        except ValueError:
            log.exception("failed")
        first, *others = stream.getvalue().splitlines()
        assert "failed" in first
        assert all(line.startswith("    ") for line in others)
        assert "ValueError: one" in stream.getvalue()


def test_a_storm_is_three_lines_and_not_three_thousand() -> None:
    """One when it begins, a summary every 30 seconds, and one when it is over, however often it is tried."""
    stream, now = logged("text"), [0.0]
    interruption = Interruption(log, "the worker waits", lambda: now[0])
    interruption.over()
    begun = []
    for _ in range(700):
        begun.append(interruption.hit(ConnectionError("refused\nby a peer")))
        now[0] += 0.1
    interruption.over()
    interruption.over()
    assert begun == [True] + [False] * 699
    assert [line.partition("fulfillment.test ")[2] for line in stream.getvalue().splitlines()] == [
        "the worker waits: refused",
        "the worker waits, for 30 s and 301 times by now: refused",
        "the worker waits, for 60 s and 601 times by now: refused",
        "the worker waits: over after 70.0 s and 700 attempts",
    ]
    assert interruption.hit("once more")


@pytest.mark.parametrize(
    ("chosen", "terminal", "is_json"),
    [("", True, False), ("", False, True), ("json", True, True), ("text", False, False)],
)
def test_lines_are_for_people_on_a_terminal_only(chosen: str, terminal: bool, is_json: bool) -> None:
    """Unless LOG_FORMAT says otherwise."""

    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    stream = Stream()
    configure(load(service="order", environ={"LOG_FORMAT": chosen}), stream, role="worker")
    log.info("here", extra=about("0192", "0193"))
    line = stream.getvalue()
    assert line.startswith("{") == is_json
    if is_json:
        told = json.loads(line)
        assert (told["order_id"], told["message_id"]) == ("0192", "0193")
        assert told["process"] == f"worker {os.getpid()}"
    else:
        assert line.endswith("here order_id=0192 message_id=0193\n")


def test_pika_keeps_quiet() -> None:
    """The AMQP library tells each lost socket several times: whoever uses it does so once, however logs look."""
    import_module("shared.messaging.brokers.rabbitmq")
    stream = logged("text")
    logging.getLogger("pika.connection").error("step by step")
    assert stream.getvalue() == ""
