"""A relay between a client and a server, which can fall silent as a frozen server does, and speak again."""

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Relay:
    """Passes on what comes to `port` of this machine to a server, and back. While it is silent it still accepts."""

    def __init__(self, host: str, port: int) -> None:
        self._server = host, port
        self._speaking = threading.Event()
        self._speaking.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lines: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Nothing goes through during the block."""
        self._speaking.clear()
        try:
            yield
        finally:
            self._speaking.set()

    def close(self) -> None:
        self._speaking.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in self._lines:
            try:
                line.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it has ended already
        for thread in self._threads:
            thread.join()
        for line in self._lines:
            line.close()

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            self._lines += [client, server]
            self._start(self._pass_on, client, server)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in selector.select():
                    try:
                        data = key.fileobj.recv(65_536)  # type: ignore[union-attr]
                        self._speaking.wait()
                        if data:
                            key.data.sendall(data)
                    except OSError:
                        data = b""
                    if not data:
                        for line in (client, server):
                            try:
                                line.shutdown(socket.SHUT_RDWR)
                            except OSError:
                                continue
                        return
