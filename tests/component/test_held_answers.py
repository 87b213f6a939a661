"""Answers that go on without a thread, at the server by itself: written from elsewhere, ended in good order."""

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from typing import Any

import pytest

from shared.http.held import HOLD, Outlet
from shared.http.listening import listen
from shared.http.server import Server
from tests.crowd import wait_for


class Going:
    """An answer that goes on, from the test's thread."""

    def __init__(self) -> None:
        self.begun, self.closed = threading.Event(), threading.Event()
        self.outlet: Outlet | None = None

    def begin(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self.begun.set()

    def close(self) -> None:
        self.closed.set()


class Served:
    """A server with one thread, whose answers go on."""

    def __init__(self) -> None:
        self.status, self.fails = "200 OK", False
        self.answers: list[Going] = []
        self.address = ("", 0)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        going = Going()
        self.answers.append(going)
        environ[HOLD](going)
        if self.fails:
            raise ValueError
        start_response(self.status, [("Content-Type", "text/plain")])
        return iter([b"first "])

    def ask(self, version: str = "1.1", behind: str = "") -> socket.socket:
        connection = socket.create_connection(self.address, timeout=60)
        connection.sendall(f"GET / HTTP/{version}\r\nHost: shop\r\n\r\n{behind}".encode())
        return connection

    def going(self, connection: socket.socket) -> tuple[HTTPResponse, Outlet]:
        """The head of the answer, and where the rest is to be written."""
        response = HTTPResponse(connection)
        response.begin()
        assert self.answers[-1].begun.wait(60)
        outlet = self.answers[-1].outlet
        assert outlet
        return response, outlet


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    with serving(served):
        yield served


@contextmanager
def serving(served: Served) -> Iterator[None]:
    stop = threading.Event()
    with listen("127.0.0.1", 0, "test") as listener:
        server = Server(served, listener, threads=1)
        served.address = listener.getsockname()
        thread = threading.Thread(target=server.run, args=(stop.is_set, 1.0))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            server.wake()
            thread.join()


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_many_answers_go_on_beside_one_thread(served: Served, version: str) -> None:
    """Each arrives whole, and with it the connection ends."""
    connections = [served.ask(version) for _ in range(20)]
    going = []
    for each in connections:
        response = HTTPResponse(each)
        response.begin()
        going.append(response)
    wait_for(lambda: len(served.answers) == 20 and all(each.begun.is_set() for each in served.answers))
    for answer in served.answers:
        assert answer.outlet
        answer.outlet.write(b"second ")
        answer.outlet.write(b"third")
        answer.outlet.end()
    assert [each.read() for each in going] == [b"first second third"] * 20
    assert [each.recv(1) for each in connections] == [b""] * 20
    for each in connections:
        each.close()


def test_whoever_leaves_is_missed(served: Served) -> None:
    """Without anything being written, and writing afterwards is harmless."""
    with served.ask() as connection:
        response, outlet = served.going(connection)
        assert outlet.unread is not None
        response.close()
    wait_for(lambda: outlet.unread is None)
    outlet.write(b"to nobody")
    outlet.end()


def test_whoever_does_not_read_stops_nobody(served: Served) -> None:
    """What writes is never held up; the reader's connection is broken off."""
    with served.ask() as connection:
        _, outlet = served.going(connection)

        def gone() -> bool:
            outlet.write(bytes(1 << 20))
            return outlet.unread is None

        wait_for(gone)


def test_what_is_sent_behind_the_question_is_not_answered(served: Served) -> None:
    """The connection ends with the answer that goes on."""
    with served.ask(behind="GET /second HTTP/1.1\r\nHost: shop\r\n\r\n") as connection:
        response, outlet = served.going(connection)
        outlet.write(b"only")
        outlet.end()
        assert response.read() == b"first only"
        assert len(served.answers) == 1


@pytest.mark.parametrize("status", ["404 Not Found", "500 a bug"])
def test_an_answer_that_came_to_nothing_does_not_go_on(served: Served, status: str) -> None:
    """It is told so, and never begun."""
    served.status, served.fails = status, status.endswith("bug")
    with served.ask() as connection:
        response = HTTPResponse(connection)
        response.begin()
        assert response.status == int(status[:3])
        response.read()
    assert served.answers[0].closed.wait(60)
    assert not served.answers[0].begun.is_set()
