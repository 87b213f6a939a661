"""The people of a proof: they place orders under keys, try again whatever happens, act, and look until all ended."""

import random
import secrets
import threading
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Any

from order_service.cli.system.embedded import Tokens
from order_service.cli.system.prove.calling import Caller, Said
from order_service.cli.system.prove.fates import CANCEL, FATES, REVERSE
from order_service.cli.system.prove.ledger import Ledger, Wish

THREADS = 24
AGAIN, LONGEST_AGAIN = 0.2, 2.0  # seconds until what failed is tried again, doubling
LOOK, LONGEST_LOOK = 0.15, 1.0  # seconds from one look at an order to the next, doubling
REPEATED = 0.05  # the share of orders that are placed a second time under their key though the first was answered
FOR_NOW = (0, 408, 429, 503)
Due = tuple[float, int, float]  # when, whose, and the pause before


class Customers:
    """So many orders, one after another within `span` seconds; from `start` until all have ended or `close`."""

    def __init__(
        self, ledger: Ledger, urls: Sequence[str], tokens: Tokens, seed: int, orders: int, span: float
    ) -> None:
        self._ledger, self._urls, self._tokens = ledger, urls, tokens
        self._due: list[Due] = []
        self._changed = threading.Condition()
        self._closed = False
        chance, run = random.Random(seed), secrets.token_hex(4)  # noqa: S311 - so that the same can be had again
        for number in range(orders):
            (fate,) = chance.choices(FATES, [each.share for each in FATES])
            ledger.wishes[number] = Wish(number, fate, f"prove-{run}-{number}")
            heappush(self._due, (number * span / max(1, orders), number, 0.0))
        self._repeated = {number for number in range(orders) if chance.random() < REPEATED}
        self._threads = [threading.Thread(target=self._work, args=(each,), name="customer") for each in range(THREADS)]

    def start(self) -> None:
        self._ledger.begin()
        for each in self._threads:
            each.start()

    def stop_placing(self) -> None:
        """What was not tried until now is not wished any more."""
        with self._changed:
            for wish in [each for each in self._ledger.wishes.values() if not each.tried]:
                del self._ledger.wishes[wish.number]
            self._due = sorted(each for each in self._due if each[1] in self._ledger.wishes)

    @property
    def unended(self) -> list[Wish]:
        return [each for each in list(self._ledger.wishes.values()) if not each.has_ended]

    def close(self) -> None:
        """Nobody asks any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for each in self._threads:
            if each.ident:
                each.join()

    def _work(self, number: int) -> None:
        caller = Caller(self._urls, number)
        while due := self._next():
            _, whose, pause = due
            if again := self._serve(caller, self._ledger.wishes[whose], pause):
                with self._changed:
                    heappush(self._due, (self._ledger.now + again, whose, again))
                    self._changed.notify()
        caller.close()

    def _next(self) -> Due | None:
        with self._changed:
            while not self._closed:
                now = self._ledger.now
                if self._due and self._due[0][0] <= now:
                    due = heappop(self._due)
                    self._ledger.wishes[due[1]].tried = True
                    return due
                self._changed.wait(self._due[0][0] - now if self._due else 1.0)
        return None

    def _serve(self, caller: Caller, wish: Wish, pause: float) -> float:
        """Do the next thing about an order; the seconds until the one after that, or 0 when there is none."""
        if not wish.order_id:
            return LOOK if self._place(caller, wish) else _longer(pause, AGAIN, LONGEST_AGAIN)
        if wish.number in self._repeated:
            if self._place(caller, wish):
                self._repeated.discard(wish.number)
            return LOOK
        if self._may_act(wish) and not self._act(caller, wish):
            return _longer(pause, AGAIN, LONGEST_AGAIN)
        before = wish.seen.get("version")
        if not self._look(caller, wish):
            return _longer(pause, AGAIN, LONGEST_AGAIN)
        if wish.has_ended and (wish.acted or not self._may_act(wish)):
            return 0.0
        return _longer(0.0 if wish.seen["version"] != before else pause, LOOK, LONGEST_LOOK)

    def _place(self, caller: Caller, wish: Wish) -> bool:
        said = caller.ask(self._tokens.customer, "POST", "/orders", wish.fate.wish(wish.number), wish.key)
        return self._heard(wish, "place", said, 202, (409,)) and self._take(wish, said.body)

    def _take(self, wish: Wish, order: Any) -> bool:
        self._ledger.placed(wish, order)
        return True

    def _look(self, caller: Caller, wish: Wish) -> bool:
        said = caller.ask(self._tokens.customer, "GET", f"/orders/{wish.order_id}")
        if said.status == 404:
            self._ledger.missing(wish)
        if not self._heard(wish, "look", said, 200, ()):
            return False
        self._ledger.told(wish, said.body)
        if wish.fate.act == REVERSE:
            asked = {each["name"]: each["status"] for each in said.body["steps"]}
            wish.seen["in_doubt"] = asked["capture"] == "requested"
        return True

    def _may_act(self, wish: Wish) -> bool:
        fate = wish.fate
        if not fate.act or wish.acted or (fate.act == REVERSE and not wish.seen.get("in_doubt")):
            return False
        return not fate.when or wish.status in fate.when

    def _act(self, caller: Caller, wish: Wish) -> bool:
        """Do what its fate is; whether it was answered. 409: it was too late, or an earlier try was heard."""
        path, body, token = f"/orders/{wish.order_id}", None, self._tokens.operator
        match wish.fate.act:
            case "approve" | "refuse":
                path, body = f"{path}/approval", {"decision": wish.fate.act, "note": "looked at"}
            case "cancel":
                path, token = f"{path}/cancel", self._tokens.customer
            case "reverse":
                path = f"{path}/steps/capture/reverse"
        said = caller.ask(token, "POST", path, body)
        right = 202 if wish.fate.act == CANCEL else 200
        if said.status == 409:
            self._ledger.note(wish, wish.fate.act, 409, said.kind)
            wish.acted = True
        elif self._heard(wish, wish.fate.act, said, right, ()):
            self._ledger.accepted(wish, wish.fate.act)
        return wish.acted

    def _heard(self, wish: Wish, call: str, said: Said, right: int, later: Sequence[int]) -> bool:
        """Note an answer; whether it is the right one. What is neither right nor for now is a violation."""
        self._ledger.note(wish, call, said.status, said.kind)
        if said.status != right and said.status not in (*FOR_NOW, *later):
            self._ledger.violate("an answer that nobody may get", wish, f"{call}: {said.status} {said.kind}")
        return said.status == right


def _longer(pause: float, shortest: float, longest: float) -> float:
    return min(longest, max(shortest, pause * 2))
