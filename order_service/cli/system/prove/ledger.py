"""What customers and operators were told, answer by answer, and where one answer contradicts another."""

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from order_service.cli.system.prove.fates import CANCELLED, EFFECT, FULFILLED, Fate

RANKS = {"pending": 0, "awaiting_approval": 1, "confirmed": 2, "paid": 3, "cancelling": 3, FULFILLED: 4, CANCELLED: 4}
TURNED_BACK = ("cancelling", CANCELLED)
GONE_ON = ("paid", FULFILLED)
STILL = 10.0  # seconds without news after which an order counts as standing still


@dataclass
class Wish:
    """An order from the first attempt to place it, as its customer knows it. Times are seconds since the first order
    of all."""

    number: int
    fate: Fate
    key: str
    order_id: str = ""
    tried: bool = False
    placed_at: float = 0.0
    ended_at: float = 0.0
    news_at: float = 0.0
    seen: dict[str, Any] = field(default_factory=dict)
    acted: bool = False  # what its fate has done about it was answered, one way or the other
    effect: str | None = None  # how it must end, because somebody was told so

    @property
    def status(self) -> str:
        return str(self.seen.get("status", ""))

    @property
    def has_ended(self) -> bool:
        return self.status in (FULFILLED, CANCELLED)


class Answered(msgspec.Struct, frozen=True):
    """One attempt to ask. `status` is 0 when there was no answer; `kind` says what was wrong, if anything was."""

    at: float
    wish: int
    call: str
    status: int
    kind: str


class Ledger:
    """Every answer, every contradiction, and how all orders stand. For any thread."""

    def __init__(self) -> None:
        self.wishes: dict[int, Wish] = {}
        self.answers: list[Answered] = []
        self.violations: dict[str, None] = {}  # each once, in the order in which they were found
        self._lock = threading.Lock()
        self._began = time.monotonic()

    def begin(self) -> None:
        """From now on, time is counted."""
        self._began = time.monotonic()

    @property
    def now(self) -> float:
        return time.monotonic() - self._began

    def note(self, wish: Wish, call: str, status: int, kind: str = "") -> None:
        with self._lock:
            self.answers.append(Answered(round(self.now, 3), wish.number, call, status, kind))

    def violate(self, kind: str, wish: Wish, what: str) -> None:
        with self._lock:
            self.violations[f"{kind}: {wish.fate.name} {wish.order_id or wish.key}: {what}"] = None

    def placed(self, wish: Wish, order: Mapping[str, Any]) -> None:
        """A POST was answered with this order."""
        if wish.order_id and order["id"] != wish.order_id:
            self.violate("two orders for one key", wish, f"now it is {order['id']}")
        elif not wish.order_id:
            wish.order_id, wish.placed_at, wish.news_at = order["id"], self.now, self.now

    def told(self, wish: Wish, order: Mapping[str, Any]) -> None:
        """A customer or an operator was shown the order so."""
        before = wish.seen
        if before:
            self._compare(wish, before, order)
        if not before or order["version"] > before["version"]:
            wish.news_at = self.now
        kept = ("id", "status", "version", "total", "reason", "needs_attention")
        wish.seen = {name: order[name] for name in kept}
        if wish.has_ended:
            wish.ended_at = wish.ended_at or self.now
            self._judge(wish)

    def accepted(self, wish: Wish, act: str) -> None:
        """Somebody was told that it is done."""
        wish.acted, wish.effect = True, EFFECT[act] or wish.effect

    def missing(self, wish: Wish) -> None:
        self.violate("an order that was promised is missing", wish, "404")

    def figures(self) -> Counter[str]:
        """How many orders are `placed`, `ended`, and `still`: without news for a while."""
        found, now = Counter[str](), self.now
        for wish in list(self.wishes.values()):
            if wish.order_id:
                found["placed"] += 1
                found["ended"] += wish.has_ended
                found["still"] += not wish.has_ended and now - wish.news_at > STILL
        return found

    def _compare(self, wish: Wish, before: Mapping[str, Any], order: Mapping[str, Any]) -> None:
        """Nothing that was told is taken back."""
        then, now = before["status"], order["status"]
        if order["version"] < before["version"]:
            self.violate("a version went back", wish, f"{before['version']}, then {order['version']}")
        aside = (then in GONE_ON and now in TURNED_BACK) or (then in TURNED_BACK and now in GONE_ON)
        if RANKS[now] < RANKS[then] or aside:
            self.violate("a status went back", wish, f"{then}, then {now}")
        if (order["id"], order["total"]) != (before["id"], before["total"]):
            self.violate("an order changed", wish, f"{order['id']}, {order['total']}")
        if wish.has_ended and order["reason"] != before["reason"]:
            self.violate("a reason changed", wish, f"{before['reason']}, then {order['reason']}")

    def _judge(self, wish: Wish) -> None:
        """It ended in a way that its fate allows and its customer was promised."""
        reason = wish.seen["reason"]
        if wish.effect and wish.status != wish.effect:
            self.violate("a promise was not kept", wish, f"{wish.fate.act} was accepted, and it is {wish.status}")
        if not wish.fate.allows(reason) or (reason is None) != (wish.status == FULFILLED):
            self.violate("an end that cannot be", wish, f"{wish.status}: {reason}")
