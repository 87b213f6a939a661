"""What wakes the thread of the HTTP server: only what has changed, and nothing that has changed is forgotten."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPResponse
from typing import Any, ClassVar

import pytest

from shared.http import interest
from shared.http.connection import Connection
from shared.http.listening import listen
from shared.http.server import Server

NEVER = 3600.0  # seconds
LARGE = 12_000_000  # bytes: more than two sockets and a server's buffer hold
ASK = "{} /{} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n{}\r\n"


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """What was sent, so often as the path says."""
    said, times = environ["wsgi.input"].read(), int(environ["PATH_INFO"][1:])
    start_response("200 OK", [("Content-Length", str(len(said) * times))])
    return (said for _ in range(times))


class Asked(Connection):
    """Counts by the caller's port how often it was asked what it waits for."""

    times: ClassVar[Counter[int]] = Counter()

    def readable(self) -> bool:
        self.times[self.addr[1]] += 1
        return super().readable()


class Counting(Server):
    channel_class = Asked


@contextmanager
def serving(kind: type[Server]) -> Iterator[Callable[[], socket.socket]]:
    """Yields what connects."""
    stop = threading.Event()
    with listen("127.0.0.1", 0, "test") as listener, ExitStack() as stack:
        server = kind(echo, listener, threads=2)
        address = listener.getsockname()
        thread = threading.Thread(target=server.run, args=(stop.is_set, 5.0))
        thread.start()
        try:
            yield lambda: stack.enter_context(socket.create_connection(address, timeout=60))
        finally:
            stack.close()
            stop.set()
            server.wake()
            thread.join()


def answer(connection: socket.socket) -> bytes:
    response = HTTPResponse(connection)
    response.begin()
    body = response.read()
    assert response.status == 200, body
    return body


def test_whoever_is_silent_costs_nothing() -> None:
    """While one asks a hundred times, others are asked once a second what they wait for."""
    with serving(Counting) as connect:
        began = time.monotonic()
        silent, busy = [connect() for _ in range(20)], connect()
        for _ in range(100):
            busy.sendall(ASK.format("POST", 1, 5, "").encode() + b"hello")
            assert answer(busy) == b"hello"
        seconds = time.monotonic() - began
        ports = [each.getsockname()[1] for each in silent]
        assert max(Asked.times[port] for port in ports) <= seconds + 3
        assert Asked.times[busy.getsockname()[1]] >= 100


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], socket.socket]]:
    """To a server that does not look after everybody now and then, so that what is forgotten hangs."""
    monkeypatch.setattr(interest, "ALL_AGAIN", NEVER)
    with serving(Server) as connect:
        yield connect


def test_requests_behind_each_other_are_all_answered(connect: Callable[[], socket.socket]) -> None:
    """Sent in one piece, in halves, and while an answer is on its way."""
    connection = connect()
    one = ASK.format("POST", 2, 5, "").encode() + b"hello"
    connection.sendall(one * 7 + one[:20])
    for number in range(7):
        assert connection.recv(1, socket.MSG_PEEK), number
        assert answer_of(connection, 10) == b"hellohello"
    connection.sendall(one[20:] + one)
    assert [answer_of(connection, 10) for _ in range(2)] == [b"hellohello"] * 2


def test_large_answers_are_sent_whole_to_whoever_reads_late(connect: Callable[[], socket.socket]) -> None:
    """To several at the same time, on connections that go on afterwards."""
    connections = [connect() for _ in range(4)]
    for _ in range(2):
        for each in connections:
            each.sendall(ASK.format("POST", LARGE // 10_000, 10_000, "").encode() + b"x" * 10_000)
        for each in connections:
            assert answer(each) == b"x" * LARGE


def test_who_waits_for_continue_is_told_to(connect: Callable[[], socket.socket]) -> None:
    """At first, and behind a request that is being worked."""
    connection = connect()
    expecting = ASK.format("POST", 1, 5, "Expect: 100-continue\r\n").encode()
    plain = ASK.format("POST", 1, 5, "").encode() + b"hello"
    for before in (b"", plain):
        connection.sendall(before + expecting)
        if before:
            assert answer_of(connection, 5) == b"hello"
        assert until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 100")
        connection.sendall(b"hello")
        assert answer_of(connection, 5) == b"hello"


def test_who_wants_to_end_is_ended(connect: Callable[[], socket.socket]) -> None:
    """By what the request says."""
    connection = connect()
    connection.sendall(ASK.format("POST", 1, 5, "Connection: close\r\n").encode() + b"hello")
    assert answer(connection) == b"hello"
    assert connection.recv(1) == b""


def answer_of(connection: socket.socket, length: int) -> bytes:
    """A body of this length, and not a byte of what follows."""
    assert until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 200")
    body = b""
    while len(body) < length:
        body += connection.recv(length - len(body))
    return body


def until(connection: socket.socket, end: bytes) -> bytes:
    read = b""
    while not read.endswith(end):
        byte = connection.recv(1)
        assert byte, read
        read += byte
    return read
