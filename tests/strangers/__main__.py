"""Callers without manners, in a process of their own, until stdin ends: their kind, URL, TOKEN and ORDER are given."""

import http.client
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from urllib.parse import urlsplit

POST = "POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nIdempotency-Key: slow\r\n"


class Strangers:
    """They know an address and a customer's token; each kind begins, and goes on without being watched."""

    def __init__(self, url: str, token: str, order_id: str) -> None:
        address = urlsplit(url)
        self.host, self.port = address.hostname or "", address.port or 80
        self.bearer, self.order_id = f"Authorization: Bearer {token}\r\n", order_id
        self.token = token
        self._sockets: list[socket.socket] = []

    def silent(self) -> None:
        """1,100 connections that say nothing."""
        self._keep(1100, "")

    def half_a_header(self) -> None:
        """200 requests that stop inside a header; who is cut off comes back."""
        self._keep(200, "POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Le")

    def half_a_body(self) -> None:
        """200 requests of which a byte of the body arrives; who is cut off comes back."""
        self._keep(200, f"{POST}{self.bearer}Content-Length: 999\r\n\r\n{{")

    def not_reading(self) -> None:
        """100 that ask for a large list, and then for it again, and read nothing."""
        ask = f"GET /orders?limit=200 HTTP/1.1\r\nHost: shop\r\n{self.bearer}\r\n"
        self._keep(100, ask * 3, receive_buffer=2048)

    def not_closing(self) -> None:
        """200 that get an answer after which the connection ends, and do not end it; at once, others come."""
        self._keep(200, "GET /healthz HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n", hold=True)

    def long_polls(self) -> None:
        """200 long polls of one customer."""
        path = f"/orders/{self.order_id}?wait=30&version=999999"
        self._loops(200, lambda connection: self._get(connection, path))

    def large_lists(self) -> None:
        """8 loops of lists of 200 orders, by one customer."""
        self._loops(8, lambda connection: self._get(connection, "/orders?limit=200"))

    def wrong_tokens(self) -> None:
        """300 wrong tokens a second."""
        beat = count()
        began = time.monotonic()

        def guess(connection: http.client.HTTPConnection) -> None:
            number = next(beat)
            time.sleep(max(0.0, began + number / 300 - time.monotonic()))
            self._get(connection, "/orders", token=f"guess-{number}")

        self._loops(20, guess)

    def _keep(self, number: int, said: str, *, receive_buffer: int = 0, hold: bool = False) -> None:
        """Open connections that say this and read nothing, and open others for those that were closed."""

        def connect() -> socket.socket | None:
            new = socket.socket()
            if receive_buffer:
                new.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            new.settimeout(0.5)
            try:
                new.connect((self.host, self.port))
                new.sendall(said.encode())
            except OSError:
                new.close()
                return None
            return new

        def tend() -> None:
            while True:
                for index, each in enumerate(self._sockets):
                    if each.fileno() < 0 or _ended(each, hold):
                        each.close()
                        self._sockets[index] = connect() or each
                time.sleep(0.2)

        self._sockets = [each for each in (connect() for _ in range(number)) if each]
        threading.Thread(target=tend, daemon=True).start()

    def _loops(self, number: int, act: Callable[[http.client.HTTPConnection], None]) -> None:
        def loop() -> None:
            while True:
                connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
                with suppress(OSError, http.client.HTTPException):
                    while True:
                        act(connection)
                connection.close()
                time.sleep(0.05)

        for _ in range(number):
            threading.Thread(target=loop, daemon=True).start()

    def _get(self, connection: http.client.HTTPConnection, path: str, token: str | None = None) -> None:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token or self.token}"})
        connection.getresponse().read()


def _ended(connection: socket.socket, hold: bool) -> bool:
    """Whether the other side has closed; those that hold count an answer as the end of the first act only."""
    with suppress(BlockingIOError):
        connection.setblocking(False)
        try:
            if hold:
                return connection.recv(1, socket.MSG_PEEK) == b""
            # those that do not read see an end only when the other side has reset the connection
            return connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0 or _reset(connection)
        except OSError:
            return True
    return False


def _reset(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


if __name__ == "__main__":
    kind, *address = sys.argv[1:]
    getattr(Strangers(*address), kind)()
    print("there", flush=True)
    sys.stdin.read()
