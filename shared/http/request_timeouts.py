"""A gunicorn worker that does not wait for ever: whoever sends a request too slowly is cut off."""

import socket
import time
from contextlib import suppress
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

FOR_HEADERS = 5.0  # seconds from the first look at a connection until all headers are there
FOR_BODIES = 15.0  # seconds from then on until a request that may have a body is answered


class TimeoutWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn is untyped
    """gthread, where a thread that reads a request has a deadline; gthread itself would let it read for ever."""

    def init_process(self) -> None:
        self._deadlines: dict[Any, float] = {}
        super().init_process()

    def handle(self, conn: Any) -> Any:
        """Runs in a thread of its own, from the request's first byte to the answer's last."""
        self._deadlines[conn] = time.monotonic() + FOR_HEADERS
        try:
            return super().handle(conn)
        finally:
            self._deadlines.pop(conn, None)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """The headers have arrived; answers to a GET may take as long as they like."""
        if req.method in ("GET", "HEAD"):
            self._deadlines.pop(conn, None)
        else:
            self._deadlines[conn] = time.monotonic() + FOR_BODIES
        return super().handle_request(req, conn)

    def murder_pending(self) -> None:
        """Runs in the main thread, about once a second."""
        super().murder_pending()
        now = time.monotonic()
        for conn, deadline in list(self._deadlines.items()):
            if deadline < now:
                with suppress(OSError):  # it has just gone by itself
                    conn.sock.shutdown(socket.SHUT_RDWR)  # whoever reads from it reads its end
