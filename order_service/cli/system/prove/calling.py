"""How customers and operators of a proof ask: one try at a time, with little patience, at either of two addresses."""

import http.client
import json
import socket
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

PATIENCE = 3.0  # seconds for an answer


class Said(NamedTuple):
    """An answer. `status` is 0 when none came, and `kind` the reason; else the kind of problem, if it is one."""

    status: int
    kind: str
    body: Mapping[str, Any]


class Caller:
    """Asks one of several addresses, the next one after each failure. Not for several threads at once."""

    def __init__(self, urls: Sequence[str], first: int) -> None:
        self._addresses = [urlsplit(url) for url in urls]
        self._turn = first
        self._connection = self._fresh()

    def ask(self, token: str, method: str, path: str, body: Any = None, key: str = "") -> Said:
        """One attempt; raises nothing."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            self._connection.request(
                method,
                path,
                None if body is None else json.dumps(body),
                headers | ({"Idempotency-Key": key} if key else {}),
            )
            response = self._connection.getresponse()
            text = response.read()
            said = _said(response.status, text)
        except (http.client.HTTPException, OSError, ValueError) as error:
            said = Said(0, _words(error), {})
        if said.status in (0, 503):
            self.close()
            self._turn += 1
            self._connection = self._fresh()
        return said

    def close(self) -> None:
        self._connection.close()

    def _fresh(self) -> http.client.HTTPConnection:
        address = self._addresses[self._turn % len(self._addresses)]
        return http.client.HTTPConnection(address.hostname or "", address.port, timeout=PATIENCE)


def _said(status: int, text: bytes) -> Said:
    body = json.loads(text) if text else {}
    return Said(status, str(body.get("type", "")).rpartition(":")[2] if status >= 400 else "", body)


def _words(error: Exception) -> str:
    """What happened, in the same words each time."""
    match error:
        case TimeoutError() | socket.timeout():
            return "no answer in time"
        case ConnectionRefusedError():
            return "nobody listens"
        case ConnectionError() | http.client.RemoteDisconnected() | http.client.IncompleteRead():
            return "the connection was lost"
    return type(error).__name__
