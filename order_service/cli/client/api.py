"""Speaks to the HTTP APIs: one connection, kept open, and errors that say what is wrong."""

import http.client
import json
import random
import secrets
import time
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode, urlsplit

LATER = 1.0  # seconds until what was refused for now is tried again, where the API does not say when
TIMEOUT = 40.0  # seconds for an answer; the API's longest poll is shorter


class Unreachable(Exception):
    """Nobody answers at the address."""


class Refused(Exception):
    """The API said no; the text is its reason."""

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after: float | None = None) -> None:
        """`retry_after` is how many seconds the API asks to be left alone."""
        super().__init__(f"{problem.get('detail') or problem.get('title') or 'no reason given'} ({status})")
        self.status, self.problem, self.retry_after = status, problem, retry_after


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: Any


class Api:
    """One service's API as one caller sees it. Not for several threads at once."""

    def __init__(self, url: str, token: str, *, insist: float = 0.0) -> None:
        """Raises ValueError unless `url` is `http://host[:port]` or https, with or without a path, and the token ASCII.

        What is told to come back later (429, 503), and is safe to repeat, is repeated for `insist` seconds: not before
        it may, and a little later at random, so that not all who were sent away come back at once.
        """
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError(f"{url!r} is not an address such as http://127.0.0.1:8000")
        if not (token.isascii() and token.isprintable()):
            raise ValueError("a token has printable ASCII characters only")
        kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        self.url = url.rstrip("/")
        self.now: datetime | None = None  # by the service's clock, when it answered last
        self._connection = kind(address.hostname, address.port, timeout=TIMEOUT)
        self._insist = insist
        self._prefix = address.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Ask, and return the answer with its JSON read; underscores in the names of headers stand for hyphens.

        Raises Refused for what the API refuses and Unreachable when it does not answer. A connection that was closed
        while it idled is opened again.
        """
        repeatable = method != "POST" or "Idempotency_Key" in headers
        until = time.monotonic() + self._insist
        while True:
            try:
                return self._call(method, path, body, headers, repeatable)
            except Refused as refusal:
                least = LATER if refusal.retry_after is None else refusal.retry_after
                pause = least * random.uniform(1.0, 1.5)  # noqa: S311 - no secret
                if refusal.status not in (429, 503) or not repeatable or time.monotonic() + pause > until:
                    raise
                time.sleep(pause)

    def _call(self, method: str, path: str, body: Any, headers: Mapping[str, str], repeatable: bool) -> Answer:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        content = None if body is None else json.dumps(body)
        for fresh in (self._connection.sock is None, True):
            try:
                self._connection.request(method, self._prefix + path, content, {**self._headers, **named})
                response = self._connection.getresponse()
                text = response.read()
                break
            except (http.client.HTTPException, OSError) as error:
                self._connection.close()
                if fresh or not repeatable or isinstance(error, TimeoutError):
                    raise Unreachable(f"{self.url} does not answer: {error}") from error
        self.now = _moment(response.headers.get("Date"))
        try:
            document = json.loads(text) if text else None
        except ValueError as error:
            raise Unreachable(f"{self.url} answers {response.status} with something that is not JSON") from error
        if response.status >= 400:
            given = response.headers.get("Retry-After", "")
            later = float(given) if given.isascii() and given.isdigit() else None
            raise Refused(response.status, document if isinstance(document, dict) else {}, later)
        return Answer(response.status, dict(response.getheaders()), document)

    def get(self, path: str, **query: Any) -> Any:
        """The document at a path; parameters that are None are left out."""
        given = {name: value for name, value in query.items() if value is not None}
        return self.call("GET", f"{path}?{urlencode(given)}" if given else path).body

    def items(self, path: str, **query: Any) -> list[Any]:
        """All items of a list, however many pages it has."""
        found: list[Any] = []
        cursor = None
        while True:
            page = self.get(path, limit=200, cursor=cursor, **query)
            found += page["items"]
            cursor = page["next"]
            if cursor is None:
                return found

    def put(self, path: str, body: Any) -> Any:
        return self.call("PUT", path, body).body

    def post(self, path: str, body: Any = None) -> Any:
        return self.call("POST", path, body).body

    def place(self, order: Mapping[str, Any], key: str | None = None) -> Any:
        """Place an order, once however often it is sent under one key; returns the order."""
        return self.call("POST", "/orders", order, Idempotency_Key=key or secrets.token_urlsafe(16)).body

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _moment(date: str | None) -> datetime | None:
    """What a Date header says; None when it says nothing."""
    try:
        return parsedate_to_datetime(date or "")
    except ValueError:
        return None
