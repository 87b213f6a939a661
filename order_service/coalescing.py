"""Questions that come at the same time are asked by one for all: one look at the database instead of many."""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from shared.database import heard, time_left

Wish = TypeVar("Wish")
Answer = TypeVar("Answer")

TIMEOUT = 1.0  # seconds until a caller no longer relies on another one's asking


class _Call(Generic[Wish, Answer]):
    """One caller: what it wishes to know, and what it is told."""

    __slots__ = ("answer", "answered", "error", "turn", "wish")

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.turn = False  # to ask for all
        self.error: BaseException | None = None
        self.answer: Answer
        self.answered = threading.Lock()  # held until there is an answer, an error, or a turn
        self.answered.acquire()


class Coalescing(Generic[Wish, Answer]):
    """While one caller asks, the next group gathers, and its first then asks for all of it. Needs no thread.

    Who comes when nobody asks does so at once. An asking that hangs holds up the others for `timeout` seconds only:
    then they ask for themselves, in what is left of their request's time.
    """

    def __init__(
        self, ask: Callable[[Sequence[Wish]], Sequence[Answer]], *, largest: int = 200, timeout: float = TIMEOUT
    ) -> None:
        """`ask` answers at most `largest` wishes in their order. What it raises, all for whom it asked raise."""
        self._ask, self._largest, self._timeout = ask, largest, timeout
        self._lock = threading.Lock()
        self._gathered: list[_Call[Wish, Answer]] = []
        self._asking = False

    def __call__(self, wish: Wish) -> Answer:
        """The answer to this wish, asked for after the call began."""
        call: _Call[Wish, Answer] = _Call(wish)
        with self._lock:
            self._gathered.append(call)
            call.turn, self._asking = not self._asking, True
        if not call.turn and not call.answered.acquire(timeout=time_left(self._timeout)) and self._leaves(call):
            return self._ask([wish])[0]
        if call.turn:
            self._ask_for_all()
        if call.error:
            raise call.error
        heard()
        return call.answer

    def _leaves(self, call: _Call[Wish, Answer]) -> bool:
        """Let a caller go who has waited for too long; not one whose turn has just come."""
        with self._lock:
            if call.turn:
                return False
            if call in self._gathered:
                self._gathered.remove(call)
        return True

    def _ask_for_all(self) -> None:
        with self._lock:
            group, self._gathered = self._gathered[: self._largest], self._gathered[self._largest :]
        try:
            for call, answer in zip(group, self._ask([call.wish for call in group]), strict=True):
                call.answer = answer
        except BaseException as error:
            for call in group:
                call.error = error
        with self._lock:
            self._asking = bool(self._gathered)
            if self._asking:
                self._gathered[0].turn = True
                self._gathered[0].answered.release()
        for call in group:
            if not call.turn:
                call.answered.release()
