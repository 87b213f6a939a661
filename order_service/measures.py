"""What becomes of orders, in numbers: counted from what is written of a batch, once for each."""

from collections import Counter as Numbers
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Protocol

from prometheus_client import Counter

from order_service.fulfillment.decide import Entry
from order_service.fulfillment.saga import Saga
from shared.ids import made_at
from shared.metrics import SECONDS, BatchHistogram

LONG = (*SECONDS, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0, 259_200.0)

PLACED = Counter("fulfillment_orders_placed", "Orders taken.")
CHANGES = Counter(
    "fulfillment_order_status_changes", "Orders that came to a status, and why they turned back.", ["status", "reason"]
)
MILESTONES = BatchHistogram(
    "fulfillment_order_milestone_seconds", "From an order's placing until it came to a status.", ["status"], LONG
)
STEPS = BatchHistogram(
    "fulfillment_step_duration_seconds", "From a step's first asking until it settled so.", ["step", "outcome"], LONG
)
ASKINGS = Counter(
    "fulfillment_step_requests", "Askings: for the work or its undoing, first or again.", ["step", "of", "attempt"]
)


class Moved(Protocol):
    """An order that a transaction moved."""

    order_id: str
    saga: Saga
    before: Saga | None
    decided: list[Entry]
    updated_at: datetime


def observe(moved: Iterable[Moved]) -> None:
    """Count what is being written of these orders; once more if the transaction fails and is repeated."""
    changes: Numbers[tuple[str, str]] = Numbers()
    deeds: Numbers[str] = Numbers()
    ages: list[tuple[tuple[str, ...], float]] = []
    settled: list[tuple[tuple[str, ...], float]] = []
    placed = 0
    for held in moved:
        placed += held.before is None
        for entry in held.decided:
            deeds.update(entry.did)
            if entry.to_status != entry.from_status:
                changes[entry.to_status, held.saga.reason or ""] += 1
                ages.append(((entry.to_status,), age_of(held.order_id, held.updated_at)))
        if held.before:
            settled += _settled(held.before, held.saga)
    _count(placed, changes, deeds)
    MILESTONES.observe(ages)
    STEPS.observe(settled)


def _settled(before: Saga, after: Saga) -> Iterator[tuple[tuple[str, ...], float]]:
    for name, step in after.steps.items():
        was = before.steps[name]
        if step is not was and step.requested_at and step.settled_at and was.settled_at != step.settled_at:
            yield (name, step.status), (step.settled_at - step.requested_at).total_seconds()


def _count(placed: int, changes: Mapping[tuple[str, str], int], deeds: Mapping[str, int]) -> None:
    if placed:
        PLACED.inc(placed)
    for (status, reason), number in changes.items():
        CHANGES.labels(status, reason).inc(number)
    for deed, number in deeds.items():
        step, what, *again = deed.partition(",")[0].split(" ")
        if of := {"requested": "work", "compensating": "undo"}.get(what):
            ASKINGS.labels(step, of, "again" if again else "first").inc(number)


def age_of(order_id: str, at: datetime) -> float:
    """Seconds since an order was placed, which its id tells."""
    return max(0.0, at.timestamp() - made_at(order_id) / 1000)
