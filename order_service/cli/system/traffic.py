"""The gentle stream of orders of every fate that goes on while things are broken on purpose."""

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from order_service.cli.client.api import Api, Refused, Unreachable
from order_service.cli.system import scenarios
from order_service.cli.system.embedded import DEMO, Tokens
from order_service.cli.system.scenarios import Play, Surprise

LOW, REFILL = 40, 200  # pieces: of what is short of LOW, REFILL are received
RARE = "RARE-VASE"  # is never refilled, so that something is always out of stock
AT_ONCE = 24  # orders that are played at the same time
FASTEST = 600  # orders a minute


def for_you(play: Play) -> None:
    """A dear order that nobody decides about but the visitor."""
    play.place(sku="LINEN-SOFA")


class Fate(NamedTuple):
    """An order's fate: its name, what is done, how it is called on the page, and how many of a hundred have it."""

    name: str
    script: Callable[[Play], None]
    title: str
    share: int


FATES: Sequence[Fate] = (
    Fate("plain", scenarios.plain, "A plain order", 48),
    Fate("declined", scenarios.declined, "The card is declined", 8),
    Fate("out-of-stock", scenarios.out_of_stock, "Not in stock", 6),
    Fate("nowhere", scenarios.nowhere, "No carrier goes there", 5),
    Fate("approved", scenarios.approved, "Dear, and approved", 8),
    Fate("refused", scenarios.refused, "Dear, and refused", 4),
    Fate("cancelled", scenarios.cancelled_in_time, "Cancelled in time", 5),
    Fate("too-late", scenarios.cancelled_too_late, "Cancelled too late", 4),
    Fate("capture-refused", scenarios.capture_refused, "The capture is refused", 4),
    Fate("lost-answer", scenarios.lost_answer, "The network's answers get lost", 5),
    Fate("in-doubt", scenarios.reversed_in_doubt, "A capture in doubt is withdrawn", 3),
    Fate("yours", for_you, "Dear, and yours to decide", 0),
)


class Traffic:
    """Places orders at a rate until its time is over. What does not go as its script has it is left to itself: the
    order ends all the same, and that is the point."""

    def __init__(self, urls: Mapping[str, str], tokens: Tokens = DEMO, *, rate: int, minutes: float) -> None:
        self._urls, self._tokens = urls, tokens
        self._closed = threading.Event()
        self._changed = threading.Event()
        self._free = threading.BoundedSemaphore(AT_ONCE)
        self._chance = random.Random()  # noqa: S311 - which order comes next is no secret
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self.set(rate, minutes)

    def set(self, rate: int, minutes: float) -> None:
        """So many orders a minute from now on, for so many minutes."""
        self._rate, self._until = min(max(rate, 0), FASTEST), time.monotonic() + minutes * 60
        self._changed.set()

    @property
    def rate(self) -> int:
        """Orders a minute; 0 when the time is over."""
        return self._rate if self.seconds_left else 0

    @property
    def seconds_left(self) -> int:
        return max(0, round(self._until - time.monotonic()))

    def start(self) -> None:
        self._refill()
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._changed.set()
        if self._thread.ident:
            self._thread.join()

    def place(self, name: str) -> str:
        """Place an order of this fate now; returns its id. Raises KeyError, Refused and Unreachable."""
        fate = {each.name: each for each in FATES}[name]
        placed: list[str] = []
        failed: list[Exception] = []
        told = threading.Event()
        threading.Thread(target=self._play, args=(fate, placed, failed, told), name=name, daemon=True).start()
        told.wait(10.0)
        if failed:
            raise failed[0]
        if not placed:
            raise Unreachable("the order was not placed within ten seconds")
        return placed[0]

    def _run(self) -> None:
        weights = [each.share for each in FATES]
        count = 0
        while not self._closed.is_set():
            self._changed.clear()
            if not self.rate:
                self._changed.wait(1.0)
                continue
            if count:
                self._changed.wait(60 / self.rate * self._chance.uniform(0.5, 1.5))
            if self._closed.is_set() or not self._free.acquire(blocking=False):
                continue
            count += 1
            if count % 50 == 0:
                self._refill()
            (fate,) = self._chance.choices(FATES, weights) if count > 1 else FATES[:1]  # the first to be seen goes well
            threading.Thread(target=self._play_one, args=(fate,), name=fate.name, daemon=True).start()

    def _play_one(self, fate: Fate) -> None:
        try:
            self._play(fate, [], [], threading.Event())
        finally:
            self._free.release()

    def _play(self, fate: Fate, placed: list[str], failed: list[Exception], told: threading.Event) -> None:
        play = _Telling(self._urls, self._tokens, placed, told)
        try:
            fate.script(play)
        except (Refused, Unreachable, Surprise) as error:  # in trouble an order may take another way, or its time
            failed.append(error)
        finally:
            told.set()
            play.close()

    def _refill(self) -> None:
        """Receive more of what is nearly sold out."""
        with Api(self._urls["inventory"], self._tokens.operator) as api:
            try:
                for item in api.get("/stock", limit=200)["items"]:
                    if item["sku"] != RARE and item["on_hand"] - item["reserved"] < LOW:
                        key = f"play-{time.monotonic_ns()}"
                        path = f"/stock/{item['sku']}/receipts"
                        api.call("POST", path, {"quantity": REFILL}, Idempotency_Key=key)
            except (Refused, Unreachable):
                return  # it is tried again after the next fifty orders


class _Telling(Play):
    """Tells the id of its order as soon as it is placed."""

    def __init__(self, urls: Mapping[str, str], tokens: Tokens, placed: list[str], told: threading.Event) -> None:
        super().__init__(urls, tokens)
        self._placed, self._told = placed, told

    def place(self, **wish: object) -> None:
        super().place(**wish)  # type: ignore[arg-type]
        self._placed.append(self.order["id"])
        self._told.set()
