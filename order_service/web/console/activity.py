"""How many orders were placed and ended, and how long they took: the last 15 minutes, kept up from the feed."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

from sqlalchemy import Connection

from order_service.feed import Move, end_of_feed, latest_moves, moves
from order_service.fulfillment.saga import OrderStatus
from shared.clock import Clock
from shared.ids import made_at

SPAN = timedelta(minutes=15)
BUCKET = 5  # seconds that one point of a plot stands for
DEPTH = 200_000  # lines of history that are read back at most, when somebody looks for the first time
STALE = 60.0  # seconds without a look after which it is quicker to begin anew
FINAL = {status.value for status in OrderStatus if status.final}


@dataclass
class _Bucket:
    placed: int = 0
    ended: int = 0
    again: int = 0  # steps that were asked once more
    seconds: list[float] = field(default_factory=list)  # from placing to the end


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Something that was done to the system, for the plots."""

    at: datetime
    text: str


class Activity:
    """One for all boards of a process. `update` reads what is new; everything else only looks at what was read."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._buckets: dict[int, _Bucket] = {}
        self._position: int | None = None
        self._updated = 0.0
        self._now = 0

    def update(self, connection: Connection) -> None:
        """Read on, at most twice a second."""
        with self._lock:
            if time.monotonic() - self._updated < 0.5:
                return
            now = self._clock.now(connection)
            self._now = int(now.timestamp()) // BUCKET
            if self._position is None or time.monotonic() - self._updated > STALE:
                self._begin(connection, now - SPAN)
            assert self._position is not None
            while found := moves(connection, self._position):
                self._count(found)
                self._position = found[-1].position
            self._forget()
            self._updated = time.monotonic()

    def series(self, marks: Sequence[Mark] = ()) -> dict[str, Any]:
        """For the plots: a point for every five seconds, the last one not quite over."""
        with self._lock:
            numbers = range(self._now - int(SPAN.total_seconds()) // BUCKET, self._now + 1)
            buckets = [self._buckets.get(number, _Bucket()) for number in numbers]
        return {
            "at": [number * BUCKET for number in numbers],
            "placed": [round(each.placed / BUCKET, 2) for each in buckets],
            "ended": [round(each.ended / BUCKET, 2) for each in buckets],
            "p50": [_quantile(each.seconds, 0.5) for each in buckets],
            "p99": [_quantile(each.seconds, 0.99) for each in buckets],
            "marks": [{"at": mark.at.timestamp(), "text": mark.text} for mark in marks],
        }

    def since(self, at: datetime) -> dict[str, int]:
        """What happened after a moment, rounded to five seconds."""
        first = int(at.timestamp()) // BUCKET
        with self._lock:
            found = [each for number, each in self._buckets.items() if number >= first]
        return {name: sum(getattr(each, name) for each in found) for name in ("placed", "ended", "again")}

    def _begin(self, connection: Connection, since: datetime) -> None:
        self._buckets = {}
        self._position = end_of_feed(connection)
        self._count([each for each in latest_moves(connection, since, DEPTH) if each.position <= self._position])

    def _count(self, found: Sequence[Move]) -> None:
        for each in found:
            bucket = self._buckets.setdefault(int(each.at.timestamp()) // BUCKET, _Bucket())
            bucket.placed += each.seq == 1
            bucket.again += each.did.count(" again, ")
            if each.to_status in FINAL and each.from_status != each.to_status:
                bucket.ended += 1
                bucket.seconds.append((each.at - placed_at(each.order_id)).total_seconds())

    def _forget(self) -> None:
        oldest = self._now - int(SPAN.total_seconds()) // BUCKET
        for number in [number for number in self._buckets if number < oldest]:
            del self._buckets[number]


def placed_at(order_id: str) -> datetime:
    """When an order was placed, to the millisecond: its id says so."""
    return datetime.fromtimestamp(made_at(order_id) / 1000, UTC)


def _quantile(values: Sequence[float], share: float) -> float | None:
    if not values:
        return None
    ordered = sorted(values)
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 3)
