"""A playground in another process, `fulfillment up`, which holds all of the system."""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import msgspec

from order_service.participants import NoAnswer, call
from order_service.web.console.breaking import Refusal, State
from order_service.web.console.pages import Audited

FRESH = 0.5  # seconds for which what was heard counts as news
BRIEF, PATIENCE, LONG = 1.0, 3.0, 60.0  # seconds for an answer: with many waiting for it, usually, when it takes work
LARGEST = 1024 * 1024  # bytes


class RemotePlayground:
    """Asks for everything; for any thread."""

    def __init__(self, address: str) -> None:
        """`address` is `http://KEY@HOST:PORT`."""
        parts = urlsplit(address)
        self._url, self._key = f"http://{parts.hostname}:{parts.port}", parts.username or ""
        self._lock = threading.Lock()
        self._state: State | None = None
        self._heard = float("-inf")

    def fates(self) -> Sequence[tuple[str, str]]:
        return msgspec.convert(self._ask("fates"), list[tuple[str, str]])

    def place(self, fate: str) -> str:
        return str(self._ask("place", fate, patience=LONG))

    def set(self, part: str, choice: str) -> None:
        self._ask("set", part, choice, patience=LONG)

    def mend(self) -> None:
        self._ask("mend", patience=LONG)

    def make_trouble(self) -> None:
        self._ask("make_trouble")

    def set_rate(self, rate: int, minutes: int) -> None:
        self._ask("set_rate", rate, minutes)

    def state(self) -> State:
        """As it was a moment ago; while nobody answers, as it was last, with that among its failures."""
        with self._lock:
            if self._state and time.monotonic() - self._heard < FRESH:
                return self._state
            try:
                self._state = msgspec.convert(self._ask("state", patience=BRIEF), State)
            except Refusal as refusal:
                if self._state is None:
                    raise
                return replace(self._state, failures=[str(refusal)])
            finally:
                self._heard = time.monotonic()
            return self._state

    def audit(self) -> Audited:
        return msgspec.convert(self._ask("audit", patience=LONG), Audited)

    def _ask(self, act: str, *given: object, patience: float = PATIENCE) -> Any:
        body = {"act": act, "with": given}
        try:
            status, answer = call(self._url, "POST", "/", self._key, body, largest=LARGEST, patience=patience)
        except NoAnswer as error:
            raise Refusal(f"Whoever holds the system: {error}") from error
        if status != 200:
            raise Refusal(str(answer.get("detail", f"Whoever holds the system answers {status}.")))
        return answer["result"]
