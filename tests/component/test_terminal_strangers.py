"""Every command that shows what others wrote, against an API whose every word is hostile, and on poor terminals."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from order_service.cli import fulfillment
from order_service.cli.client.api import Api
from order_service.cli.system.embedded import OPERATOR, System, running_system
from payment_service.service import SERVICE as PAYMENT
from shared.commands import commands

POISON = "\x1b[2J\x1b]0;owned\x07\u202e\u2066\r\n\x9b"
KEPT = ("id", "status", "currency")  # what the commands go by
LETTER = f"letter{POISON}"


def poisoned(document: Any) -> Any:
    """The document with hostile strings."""
    if isinstance(document, dict):
        return {name: each if name in KEPT else poisoned(each) for name, each in document.items()}
    if isinstance(document, list):
        return [poisoned(each) for each in document]
    return document + POISON if isinstance(document, str) else document


class Liar(BaseHTTPRequestHandler):
    """Hands requests on, and poisons the answers."""

    behind = ""

    def answer(self) -> None:
        address = urlsplit(self.behind)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with closing(HTTPConnection(address.hostname or "", address.port)) as connection:
            connection.request(self.command, self.path, body, dict(self.headers))
            response = connection.getresponse()
            text = json.dumps(poisoned(json.loads(response.read()))).encode()
        self.send_response(response.status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_PATCH = answer

    def log_message(self, *_: Any) -> None:
        """Not on the tests' terminal."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system with an order that waits, one that was refused with a note, and a hostile dead letter at payment."""
    with running_system(tmp_path_factory.mktemp("system"), {}) as running:
        row = dict.fromkeys(("reason", "type", "producer", "correlation_id", "content_type"), f"x{POISON}")
        body = POISON.encode()
        other = {"state": "parked", "version": 1, "drops": 0, "body": body, "digest": "", "size": len(body)}
        with running.databases["payment"].transaction() as connection:
            now = PAYMENT.clock.now(connection)
            letters = PAYMENT.tables.dead_letters.table
            values = {**row, **other, "message_id": LETTER, "occurred_at": now, "received_at": now}
            connection.execute(letters.insert().values(values))
        yield running


@pytest.fixture(scope="module")
def liar(system: System) -> Iterator[str]:
    handler = type("Handler", (Liar,), {"behind": system.urls["order"]})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def order_id(system: System) -> str:
    """An order that was refused with a note, and has ended."""
    address = {"name": "Zoë", "line1": "1 High Street", "city": "London", "postal_code": "N1", "country": "GB"}
    wish = {"lines": [{"sku": "LINEN-SOFA", "quantity": 1}], "payment_token": "tok_visa", "ship_to": address}
    with Api(system.urls["order"], OPERATOR) as api:
        order = api.place(wish)
        wanted = ["awaiting_approval", "cancelled"]
        while wanted:
            order = api.get(f"/orders/{order['id']}", wait=20, version=order["version"])
            if order["status"] == wanted[0]:
                wanted.pop(0)
                if wanted:
                    order = api.post(f"/orders/{order['id']}/approval", {"decision": "refuse", "note": "no, thanks"})
        found: str = order["id"]
        return found


def run(url: str, *words: str, **environ: str) -> Result:
    environ = {"FULFILLMENT_URL": url, "FULFILLMENT_TOKEN": OPERATOR, **environ}
    return CliRunner(env=environ).invoke(fulfillment, list(words))


def everything(order_id: str) -> list[list[str]]:
    return [
        ["list"],
        ["show", order_id, "--history"],
        ["watch", order_id],
        ["place"],
        ["cancel", order_id],
        ["retry", order_id, "capture"],
        ["settle", order_id, "capture", "--note", "x"],
        ["deadline", order_id, "capture", "--in", "1h"],
        ["show", "01a00000-0000-7000-8000-000000000000"],
    ]


def test_no_word_of_an_api_is_obeyed(liar: str, order_id: str) -> None:
    """Whatever the API's strings hold, a command's output has printable characters and ends of lines, and no more."""
    for words in everything(order_id):
        for more in ([], ["--json"]):
            result = run(liar, *words, *more)
            assert result.exception is None or isinstance(result.exception, SystemExit), words
            assert result.output
            assert all(each.isprintable() or each == "\n" for each in result.output), words
            assert "owned" in result.output or (words, more) == (["place"], [])  # it shows nothing that others wrote


def test_a_card_that_changes_on_a_terminal_is_harmless(liar: str, order_id: str) -> None:
    """On a terminal, where colors and movements are written on purpose, nothing of the API's own gets through."""
    for words in (["watch", order_id], ["show", order_id, "--history"], ["list"]):
        shown = run(liar, *words, FORCE_COLOR="1", COLUMNS="200").output
        assert "\x1b[" in shown
        assert "\\x1b[2J" in shown
        assert [each for each in ("\x1b[2J", "\x1b]", "\x07", "\u202e", "\u2066", "\x9b") if each in shown] == []


def test_no_color_is_respected(system: System, order_id: str) -> None:
    """With NO_COLOR a terminal gets no color; without, the status has one."""
    color = re.compile(r"\x1b\[(?:\d+;)*(?:3|4|9)\d(?:;\d+)*m")
    assert color.search(run(system.urls["order"], "list", FORCE_COLOR="1").output)
    assert not color.search(run(system.urls["order"], "list", FORCE_COLOR="1", NO_COLOR="1").output)


def test_dead_letters_of_every_service_are_listed_shown_and_given_up(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile letter is found wherever it is, shown escaped, and settled by name; who has no letter leaves it out."""
    urls = {f"FULFILLMENT_{name.upper()}_URL": url for name, url in system.urls.items() if name != "order"}
    environ = {**urls, "FULFILLMENT_URL": system.urls["order"]}

    def letters(*words: str, code: int = 0, **more: str) -> Result:
        result = run(environ["FULFILLMENT_URL"], "dead-letters", *words, **(environ | more))
        assert result.exit_code == code, result.output
        assert all(each.isprintable() or each == "\n" for each in result.output)
        return result

    listed = letters("list").stdout
    assert re.search(r"^payment +letter\\x1b\[2J", listed, re.MULTILINE)
    assert letters("list", "--service", "order", "--service", "shipping").stdout == "no letters are parked\n"
    whole = json.loads(letters("show", LETTER, "--json").stdout)
    assert (whole["service"], whole["message_id"], whole["state"]) == ("payment", LETTER, "parked")
    assert "reason" in letters("show", LETTER).stdout
    assert "There is no dead letter other" in letters("show", "other", code=4).stderr
    away = letters("list", code=7, FULFILLMENT_INVENTORY_URL="http://127.0.0.1:1")
    assert "payment" in away.stdout
    assert "Error: inventory: http://127.0.0.1:1 does not answer" in away.stderr
    assert "Parked nowhere: other" in letters("discard", LETTER, "other", code=4).stderr
    assert letters("list").stdout == "no letters are parked\n"
    assert LETTER in [
        each["message_id"] for each in json.loads(letters("list", "--state", "discarded", "--json").stdout)["items"]
    ]
    assert "no letters were parked" in letters("replay", "--all").stdout
    assert "name the message ids, or say --all" in letters("replay", code=2).stderr

    monkeypatch.setenv("DATABASE_URL", str(system.databases["payment"].url))
    for words in (["list", "--all"], ["show", LETTER]):
        local = CliRunner().invoke(commands(PAYMENT), ["dead-letters", *words])
        assert local.exit_code == 0, local.output
        assert r"letter\x1b[2J" in local.output
        assert all(each.isprintable() or each == "\n" for each in local.output)
    again = CliRunner().invoke(commands(PAYMENT), ["dead-letters", "discard", "unheard-of"])
    assert (again.exit_code, again.output) == (1, "Error: not parked here: unheard-of\n")


def test_the_simulation_is_shown_set_and_restored(system: System) -> None:
    """One carrier is made silent, both parties' conduct is shown, and all is as configured again."""
    environ = {f"FULFILLMENT_{name.upper()}_URL": url for name, url in system.urls.items() if name != "order"}

    def simulation(*words: str, code: int = 0) -> Result:
        result = run(system.urls["order"], "simulation", *words, **environ)
        assert result.exit_code == code, result.output
        return result

    before = json.loads(simulation("show", "--json").stdout)
    changed = ("set", "--service", "shipping", "--party", "globex-freight", "--outage", "--error-rate", "0.25")
    assert re.search(r"^shipping +globex-freight +no .* 25% ", simulation(*changed).stdout, re.MULTILINE)
    assert json.loads(simulation("show", "--json").stdout)["payment"] == before["payment"]
    assert json.loads(simulation("restore", "--json").stdout) == before
    assert "say --service, too" in simulation("set", "--party", "globex-freight", "--outage", code=2).stderr
    assert "say what to change" in simulation("set", code=2).stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "environ",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=["ascii", "LANG=C"],
)
def test_terminals_without_unicode_get_ascii(environ: dict[str, str], system: System, order_id: str) -> None:
    """Where stdout is ASCII, an order is shown with marks of ASCII, and nobody sees a traceback."""
    words = [sys.executable, "-m", "order_service.cli", "watch", order_id, "--token", OPERATOR]
    given = {name: text for name, text in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    done = subprocess.run(
        [*words, "--url", system.urls["order"]],
        env={**given, **environ, "FORCE_COLOR": "1", "COLUMNS": "100"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    text = done.stdout.decode("ascii")
    assert re.search(r"=\S* +inventory", text)
    assert "Zo\\xeb" in text
