"""The client of the APIs: what it does when it is told to come back later."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from order_service.cli.client.api import Api, Refused


class Busy(BaseHTTPRequestHandler):
    """Refuses with these statuses, one after another, and is willing then."""

    protocol_version = "HTTP/1.1"
    refusals: ClassVar[list[tuple[int, str]]] = []
    asked: ClassVar[list[str]] = []

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append(self.command)
        status, later = self.refusals.pop(0) if self.refusals else (200, "")
        body = json.dumps({"detail": "busy"}).encode()
        self.send_response(status)
        if later:
            self.send_header("Retry-After", later)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def api() -> Iterator[Api]:
    Busy.refusals.clear()
    Busy.asked.clear()
    with HTTPServer(("127.0.0.1", 0), Busy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with Api(f"http://127.0.0.1:{server.server_port}", "token", insist=60.0) as api:
            yield api
        server.shutdown()
        thread.join()


def test_what_is_safe_to_repeat_is_repeated(api: Api) -> None:
    """A question, and an order with its key, are asked again when the API says so, until it answers."""
    Busy.refusals[:] = [(503, "0"), (429, "0")]
    assert api.get("/orders") == {"detail": "busy"}
    Busy.refusals[:] = [(503, "0")]
    api.place({})
    assert Busy.asked == ["GET", "GET", "GET", "POST", "POST"]


@pytest.mark.parametrize(("status", "later", "seconds"), [(503, "600", 600.0), (409, "0", 0.0), (404, "", None)])
def test_what_will_not_help_is_not_repeated(api: Api, status: int, later: str, seconds: float | None) -> None:
    """Later than one is willing to wait, or refused for another reason: the refusal is raised, with what it said."""
    Busy.refusals[:] = [(status, later)]
    with pytest.raises(Refused, match="busy") as refusal:
        api.get("/orders")
    assert (refusal.value.status, refusal.value.retry_after) == (status, seconds)
    assert Busy.asked == ["GET"]


def test_an_order_of_an_operator_is_given_once(api: Api) -> None:
    """A POST without a key may have been done: it is not repeated."""
    Busy.refusals[:] = [(503, "0")]
    with pytest.raises(Refused):
        api.post("/orders/1/cancel")
    assert Busy.asked == ["POST"]
