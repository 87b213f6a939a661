"""The HTTP server by itself, spoken to byte by byte: what it refuses, how, and what it does when all threads wait."""

import json
import select
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Response

from shared.config import load
from shared.http.app import Routes, create_app, reply
from shared.http.auth import requires
from shared.http.bounds import BODY_LIMIT, HEADER_LIMIT, HEADERS
from shared.http.fields import IdempotencyHeader, StrictSchema, Text
from shared.http.pages import page_schema
from shared.http.serve import running
from shared.http.server import QUEUE_PER_THREAD
from tests.component.apps import UNLIMITED

TOKEN = "sesame-open-sesame"
THREADS = 2


class NoteSchema(StrictSchema):
    text = Text(BODY_LIMIT, required=True)


def notes(arrived: threading.Semaphore, go_on: threading.Event) -> Routes:
    routes = Routes("notes", "What this test writes down.")

    @routes.route("/notes", methods=["POST"])
    @requires()
    @routes.arguments(NoteSchema)
    @routes.arguments(IdempotencyHeader, location="headers")
    @routes.response(201, NoteSchema)
    def write(body: dict[str, Any], headers: dict[str, str]) -> Response:
        """Write it down."""
        return reply({"length": len(body["text"])}, 201)

    @routes.route("/notes")
    @requires()
    @routes.arguments(page_schema("[0-9]+"), location="query")
    @routes.response(200)
    def read(query: dict[str, Any]) -> Response:
        """Read them."""
        return reply({"items": []})

    @routes.route("/slow")
    @requires()
    @routes.response(200)
    def slow() -> Response:
        """Take as long as the test likes."""
        arrived.release()
        go_on.wait(30)
        return reply("done")

    return routes


class Served:
    """A running server, its address, and the views that wait."""

    def __init__(self, **environ: str) -> None:
        self.arrived, self.go_on = threading.Semaphore(0), threading.Event()
        settings = load(service="order", environ={"API_KEYS": f"{TOKEN}:operator:olga", **UNLIMITED, **environ})
        routes = [notes(self.arrived, self.go_on)]
        self.app = create_app(settings, title="Notes", description="…", routes=routes, ready={})
        self.address = ("", 0)

    def say(self, text: str | bytes) -> HTTPResponse:
        """What is answered to these bytes, read whole."""
        with socket.create_connection(self.address, timeout=20) as connection:
            connection.sendall(text.encode() if isinstance(text, str) else text)
            response = HTTPResponse(connection)
            response.begin()
            response.body = response.read()
            response.close()
            return response

    def post(self, body: bytes, *headers: str) -> HTTPResponse:
        lines = ["POST /notes HTTP/1.1", "Host: shop", "Content-Type: application/json", "Connection: close", *headers]
        if not any(line.startswith("Authorization") for line in headers):
            lines.append(f"Authorization: Bearer {TOKEN}")
        if not any(line.startswith("Idempotency-Key") for line in headers):
            lines.append("Idempotency-Key: first")
        return self.say("\r\n".join([*lines, "", ""]).encode() + body)

    def get(self, path: str, host: str = "shop") -> HTTPResponse:
        return self.say(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n")


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    served = Served(**getattr(request, "param", {}))
    with running(served.app, threads=THREADS) as url:
        served.address = (urlsplit(url).hostname, urlsplit(url).port)
        yield served
        served.go_on.set()


def refusal(response: HTTPResponse, status: int) -> dict[str, Any]:
    """The problem in a response, which must be a proper one of this status with the usual headers."""
    assert response.status == status, response.body
    assert response.headers["Content-Type"] == "application/problem+json"
    assert {name: response.headers[name] for name in HEADERS} == HEADERS
    problem: dict[str, Any] = json.loads(response.body)
    assert problem["status"] == status
    assert problem["type"].startswith("urn:problem-type:fulfillment:")
    return problem


def chunked(*chunks: bytes) -> bytes:
    return b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in (*chunks, b""))


def note(length: int) -> bytes:
    """A body of so many bytes."""
    return b'{"text": "' + b"x" * (length - 12) + b'"}'


CHUNKED = "Transfer-Encoding: chunked"


def test_a_body_in_chunks_is_read_whole(served: Served) -> None:
    """Up to the last byte that is allowed."""
    whole = note(BODY_LIMIT)
    response = served.post(chunked(whole[:5], whole[5:50_000], whole[50_000:]), CHUNKED)
    assert (response.status, json.loads(response.body)) == (201, {"length": BODY_LIMIT - 12})


@pytest.mark.parametrize("length", [BODY_LIMIT + 1, 10 * BODY_LIMIT])
def test_a_body_in_chunks_over_the_limit_is_413(served: Served, length: int) -> None:
    """It is not cut off and taken for shorter, and the answer arrives though the body is not read to its end."""
    refusal(served.post(chunked(note(length)), CHUNKED), 413)
    refusal(served.post(note(length), f"Content-Length: {length}"), 413)


@pytest.mark.parametrize("body", [b"zz\r\n{}\r\n", b"2\r\n{}{}\r\n", b"-1\r\n\r\n", b"2;=\x00\r\n{}\r\n"])
def test_malformed_chunks_are_400(served: Served, body: bytes) -> None:
    """And no bug of ours."""
    refusal(served.post(body + b"\r\n\r\n", CHUNKED), 400)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("nonsense\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: shop\r\nno colon here\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: many\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (f"GET / HTTP/1.1\r\nHost: shop\r\nX: {'x' * HEADER_LIMIT}\r\n\r\n", 431),
    ],
)
def test_what_the_server_refuses_by_itself_is_a_problem_too(served: Served, said: str, status: int) -> None:
    """With the headers that all answers have."""
    refusal(served.say(said), status)


@pytest.mark.parametrize("path", ["//notes", "/docs/index.html", "/notes/", "//evil.example/notes", "/docs/"])
def test_nobody_is_sent_to_a_host_that_a_caller_made_up(served: Served, path: str) -> None:
    """No path is corrected by a redirect, which would name the Host of the request."""
    response = served.get(path, host="evil.example")
    assert "Location" not in response.headers
    assert response.status in (200, 404)
    assert b"//evil.example" not in response.body


def test_the_documentation_is_there_with_a_slash_as_well(served: Served) -> None:
    """/docs and /docs/ are the same page."""
    assert served.get("/docs/").body == served.get("/docs").body
    assert b"swagger" in served.get("/docs/").body


@pytest.mark.parametrize(
    ("twice", "status"),
    [
        (["Idempotency-Key: first", "Idempotency-Key: second"], 400),
        ([f"Authorization: Bearer {TOKEN}", f"Authorization: Bearer {TOKEN}"], 401),
        (["Content-Type: application/json"], 415),
        (["Content-Length: 9", "Content-Length: 12"], 400),
    ],
)
def test_a_header_that_is_given_twice_is_refused(served: Served, twice: list[str], status: int) -> None:
    """Neither the first nor the last of them counts."""
    refusal(served.post(note(20), "Content-Length: 20", *twice), status)


def test_a_parameter_that_is_given_twice_is_refused(served: Served) -> None:
    """Neither the first nor the last of them counts."""
    problem = refusal(served.get("/notes?limit=1&limit=2"), 422)
    assert problem["errors"] == [{"parameter": "limit", "detail": "Is given more than once."}]


def ask(served: Served, path: str) -> HTTPResponse:
    return served.get(path)


def test_health_is_answered_while_every_thread_waits(served: Served) -> None:
    """Whatever the others wait for."""
    with ThreadPoolExecutor(THREADS) as pool:
        waiting = [pool.submit(ask, served, "/slow") for _ in range(THREADS)]
        for _ in waiting:
            assert served.arrived.acquire(timeout=20)
        assert served.get("/healthz").status == 200
        assert not any(each.done() for each in waiting)
        served.go_on.set()
        assert [each.result().status for each in waiting] == [200] * THREADS


def test_when_too_many_wait_the_next_is_told_so_at_once(served: Served) -> None:
    """503 with a time to come back; those who wait are served afterwards."""
    request = f"GET /slow HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    room = THREADS * (1 + QUEUE_PER_THREAD)
    with ExitStack() as stack:
        crowd = [stack.enter_context(socket.create_connection(served.address, timeout=20)) for _ in range(room + 5)]
        for each in crowd:
            each.sendall(request.encode())
        refused = set(select.select(crowd, [], [], 20)[0])
        assert refused
        served.go_on.set()
        for each in crowd:
            response = HTTPResponse(each)
            response.begin()
            response.body = response.read()
            response.close()
            if response.status != 200:
                assert refusal(response, 503)["type"].endswith("overloaded")
                assert int(response.headers["Retry-After"]) > 0
                refused.discard(each)
        assert not refused


def test_a_stop_lets_what_is_under_way_end() -> None:
    """The answer arrives, and says that the connection ends with it."""
    served = Served()
    with ThreadPoolExecutor(1) as pool:
        with running(served.app, threads=THREADS) as url:
            served.address = (urlsplit(url).hostname, urlsplit(url).port)
            waiting = pool.submit(ask, served, "/slow")
            assert served.arrived.acquire(timeout=20)
            threading.Timer(0.3, served.go_on.set).start()
        response = waiting.result()
    assert (response.status, response.headers["Connection"]) == (200, "close")
    with pytest.raises(ConnectionRefusedError):
        HTTPConnection(*served.address).request("GET", "/healthz")


@pytest.mark.parametrize("served", [{"KEY_RATE": "1"}], indirect=True)
def test_a_caller_beyond_its_rate_is_told_when_to_come_back(served: Served) -> None:
    """429 with Retry-After."""
    answers = [served.get("/notes") for _ in range(4)]
    assert [answer.status for answer in answers[:2]] == [200, 200]
    assert refusal(answers[-1], 429)["type"].endswith("too-many-requests")
    assert int(answers[-1].headers["Retry-After"]) >= 1


@pytest.mark.parametrize("served", [{"WRONG_TOKENS": "2"}], indirect=True)
def test_wrong_tokens_from_one_address_are_limited(served: Served) -> None:
    """401, then 429; whoever has a right token is let in all the same."""
    request = "GET /notes HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer wrong\r\nConnection: close\r\n\r\n"
    answers = [served.say(request) for _ in range(4)]
    assert [answer.status for answer in answers] == [401, 401, 429, 429]
    assert refusal(answers[-1], 429)["type"].endswith("too-many-wrong-tokens")
    assert int(answers[-1].headers["Retry-After"]) > 1
    assert served.get("/notes").status == 200


@pytest.mark.parametrize("served", [{"WEB_THREADS": "2", "KEY_SHARE": "50"}], indirect=True)
def test_one_caller_does_not_get_every_thread(served: Served) -> None:
    """The other half is for others: the caller's next request is refused at once, not left waiting."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, served, "/slow")
        assert served.arrived.acquire(timeout=20)
        refusal(served.get("/notes"), 429)
        served.go_on.set()
        assert waiting.result().status == 200
    assert served.get("/notes").status == 200
