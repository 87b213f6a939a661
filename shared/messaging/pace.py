"""How much a worker does at a time, and how often it does what is not a batch."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How much at a time, and how often. Intervals in seconds."""

    batch: int = 200
    window: int = 4_000  # published messages not yet confirmed, beyond which the outbox keeps the rest
    timers: float = 0.25
    relay: float = 1.0
    replay: float = 1.0
    prune: float = 60.0
    outbox_kept: timedelta = timedelta(days=7)
    inbox_kept: timedelta = timedelta(days=30)
    letters_kept: timedelta = timedelta(days=90)
    watchdog: float = 60.0


@dataclass(kw_only=True)
class Chore:
    """What a worker does between batches: `run` says whether it left more to do.

    Then it goes on at once, or as soon as its `share` of the worker's time allows; else after `every` so many seconds.
    """

    run: Callable[[], bool]
    every: float
    share: float = 1.0
    due_at: float

    def do(self, monotonic: Callable[[], float]) -> None:
        began = monotonic()
        more, ended = self.run(), monotonic()
        pause = (ended - began) * (1 - self.share) / self.share
        self.due_at = ended + (pause if more else self.every)
