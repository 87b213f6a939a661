"""The proxy that plays a bad network: what clients and servers see on each kind of line."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from order_service.cli.stack import Conduct, Line, Network
from tests.crowd import wait_for

PATIENCE = 30.0  # seconds, for what takes milliseconds


class Echo:
    """A server that says what it is told, and counts who has come and gone."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open: list[socket.socket] = []
        self.came, self.gone = 0, 0
        self.thread = threading.Thread(target=self._accept)
        self.thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.came += 1
            self.open.append(connection)
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while said := connection.recv(65_536):
                connection.sendall(said)
        self.gone += 1

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        wait_for(lambda: self.gone == self.came)


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture
def network(echo: Echo) -> Iterator[Network]:
    with Network() as network:
        yield network


@pytest.fixture
def line(network: Network, echo: Echo) -> Line:
    return network.line(echo.port)


def connect(line: Line) -> socket.socket:
    return socket.create_connection(("127.0.0.1", line.port), timeout=PATIENCE)


def answered(client: socket.socket, said: bytes) -> bytes:
    client.sendall(said)
    found = b""
    while len(found) < len(said):
        found += (piece := client.recv(65_536))
        if not piece:
            break
    return found


def is_reset(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b"reset, not closed in good order"
    except ConnectionResetError:
        return True


def calls_in_vain(line: Line) -> bool:
    """Whether a new connection is reset, at once or a little later."""
    try:
        with connect(line) as client:
            return is_reset(client)
    except ConnectionResetError:
        return True


def test_a_good_line_passes_on_all_and_each_end(line: Line, echo: Echo) -> None:
    """Everything arrives in both directions, however much it is, and a client that has finished is known to have."""
    much = bytes(range(256)) * 4_000
    with connect(line) as client:
        assert answered(client, b"lamp") == b"lamp"
        sender = threading.Thread(target=client.sendall, args=(much,))
        sender.start()
        found = bytearray()
        while len(found) < len(much):
            found += client.recv(65_536)
        sender.join()
        assert found == much
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    wait_for(lambda: echo.gone == 1)


@pytest.mark.parametrize("conduct", [Conduct.CUT, Conduct.RESET])
def test_what_is_open_is_reset(line: Line, network: Network, echo: Echo, conduct: Conduct) -> None:
    """On both sides; who comes anew is reset while the line is cut, and served otherwise."""
    with connect(line) as client:
        assert answered(client, b"lamp") == b"lamp"
        network.set(line, conduct)
        assert is_reset(client)
    wait_for(lambda: echo.gone == 1)
    if conduct is Conduct.CUT:
        assert calls_in_vain(line)
    else:
        with connect(line) as client:
            assert answered(client, b"again") == b"again"
    network.set(line, Conduct.WELL)
    with connect(line) as client:
        assert answered(client, b"well") == b"well"


def test_a_silent_line_keeps_what_was_said(line: Line, network: Network) -> None:
    """Nobody is answered and nobody is told; when the line speaks again, all arrives."""
    with connect(line) as old:
        assert answered(old, b"lamp") == b"lamp"
        network.set(line, Conduct.SILENT)
        with connect(line) as new:
            for client in (old, new):
                client.settimeout(0.1)
                client.sendall(b"vase")
                with pytest.raises(TimeoutError):
                    client.recv(1)
                client.settimeout(PATIENCE)
            network.set(line, Conduct.WELL)
            assert {client.recv(4) for client in (old, new)} == {b"vase"}


def test_half_open_lines_deceive_the_server(line: Line, network: Network, echo: Echo) -> None:
    """Clients are reset; the server believes in them until the line is well again. Who comes anew is served."""
    with connect(line) as client:
        assert answered(client, b"lamp") == b"lamp"
        network.set(line, Conduct.HALF_OPEN)
        assert is_reset(client)
    with connect(line) as client:
        assert answered(client, b"again") == b"again"
        echo.open[0].sendall(b"are you there")
        assert answered(client, b"and again") == b"and again"
        assert echo.gone == 0
        network.set(line, Conduct.WELL)
        wait_for(lambda: echo.gone == 1)
        assert answered(client, b"still here") == b"still here"


@pytest.mark.parametrize("conduct", [Conduct.SLOW, Conduct.DRIBBLING])
def test_bad_lines_lose_nothing(line: Line, network: Network, conduct: Conduct) -> None:
    """What is slow, or comes in drops, arrives whole and in order."""
    network.set(line, conduct)
    said = bytes(range(200))
    with connect(line) as client:
        assert answered(client, said) == said


def test_nobody_there_is_a_reset(network: Network, echo: Echo) -> None:
    """A line to a server that does not listen resets whoever calls."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        line = network.line(gone.getsockname()[1])
    assert calls_in_vain(line)
