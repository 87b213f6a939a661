"""What a worker tells of its batches, once for each."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from shared import metrics
from shared.clock import machine_now
from shared.messaging.broker import Connection, Delivery, Letter


class Watched(Protocol):
    """A worker, as another thread may look at it."""

    connection: Connection | None
    in_flight: set[str]


class Measures:
    """The metrics of one service's messages, with their labels looked up once."""

    def __init__(self, service: str, types: Collection[str]) -> None:
        """`types` are those of the messages that it handles."""
        self.service, self._types = service, frozenset(types)
        self._messages = metrics.BATCH_MESSAGES.labels(service)
        self._seconds = metrics.BATCH_SECONDS.labels(service)
        self._delay = metrics.DELAY_SECONDS.labels(service)
        self._published = metrics.PUBLISHED.labels(service)
        self._confirmed = metrics.CONFIRMED.labels(service)

    def worked(self, batch: Sequence[Delivery], seconds: float) -> None:
        """A batch is committed, after so many seconds."""
        self._messages.observe(len(batch))
        self._seconds.observe(seconds)
        self._delay.observe(max(0.0, (machine_now() - batch[0].envelope.occurred_at).total_seconds() - seconds))
        types = Counter(each.envelope.type for each in batch)
        known = {name: number for name, number in types.items() if name in self._types}
        if others := len(batch) - sum(known.values()):
            known[metrics.OTHER] = others
        metrics.count_all(metrics.WORKED, self.service, known)

    def published(self, number: int) -> None:
        self._published.inc(number)

    def settled(self, confirmed: int, refused: Mapping[str, str]) -> None:
        """So many were confirmed; `refused` says why by message id."""
        self._confirmed.inc(confirmed)
        if refused:
            reasons = Counter(metrics.kind(reason) for reason in refused.values())
            metrics.count_all(metrics.REFUSED, self.service, reasons)

    def dead(self, letters: Sequence[Letter]) -> None:
        """These were put aside."""
        metrics.count_all(metrics.DEAD_LETTERS, self.service, Counter(metrics.kind(reason) for _, reason in letters))

    def interrupted(self, cause: str) -> None:
        """The worker begins to wait for broker or database."""
        metrics.INTERRUPTIONS.labels(self.service, cause).inc()

    def watch(self, worker: Watched) -> None:
        """Look at this worker whenever somebody reads the metrics."""
        connected, outstanding = metrics.CONNECTED.labels(self.service), metrics.OUTSTANDING.labels(self.service)
        connected.set_function(lambda: float(worker.connection is not None))
        outstanding.set_function(lambda: float(len(worker.in_flight)))
        bundled = metrics.EVENTS_PER_MESSAGE.labels(self.service)
        bundled.set_function(lambda: each.events_per_message if (each := worker.connection) else math.nan)
