"""What must be true of one order's history, read alone: the first thing that is not is told, the rest follows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from order_service.chain import BEGINNING, link
from order_service.cli.system.audit.violations import Broken, Violation
from order_service.fulfillment.decide import ACTED
from order_service.fulfillment.inputs import DeadlineMoved, OrderPlaced, Tick, WorkFound
from order_service.fulfillment.saga import OrderStatus, Workflow
from shared.contracts import Event
from shared.database import timestamp

Row = Mapping[str, Any]
Entries = Sequence[Row]
TABLE = "order.saga_history"
BY_ITSELF = {
    "clock": (Tick.type, DeadlineMoved.type),
    "reconciliation": None,
}  # the actors that are no persons; None: all
RANK = {status: rank for rank, status in enumerate(OrderStatus)}


def check_history(flow: Workflow, saga: Row, entries: Entries) -> Iterator[Violation]:
    """`saga` is the order's row of sagas, `entries` its history by `seq`."""
    for check in CHECKS:
        if found := check(flow, saga, entries):
            yield found
            return


def chained(entries: Entries) -> tuple[str, Row | None]:
    """Follow the chain: the hash of the last line that is in it, and the first line that does not follow from the one
    before, if any. Lines without a hash are from before there were chains, and in none."""
    before = BEGINNING
    for entry in entries:
        if entry["hash"]:
            if link(before, {**entry, "at": timestamp(entry["at"])}) != entry["hash"]:
                return before, entry
            before = entry["hash"]
    return before, None


def _gap(flow: Workflow, saga: Row, entries: Entries) -> Violation | None:
    numbers = [entry["seq"] for entry in entries]
    if numbers == list(range(1, saga["version"] + 1)):
        return None
    missing = sorted(set(range(1, saga["version"] + 1)) - set(numbers))
    what = f"version {saga['version']}, but {len(numbers)} lines of history"
    what += f", without {', '.join(map(str, missing[:5]))}" if missing else f" up to {numbers[-1]}"
    return _violation(Broken.HISTORY_GAP, saga, what, {"seq": numbers[:50]})


def _rewritten(flow: Workflow, saga: Row, entries: Entries) -> Violation | None:
    last, wrong = chained(entries)
    if wrong:
        return _violation(
            Broken.HISTORY_REWRITTEN, saga, f"line {wrong['seq']} does not follow from those before", wrong
        )
    if last != saga["history_hash"]:
        what = "its saga was written with another last line"
        return _violation(Broken.HISTORY_REWRITTEN, saga, what, entries[-1] if entries else {})
    return None


def _torn(flow: Workflow, saga: Row, entries: Entries) -> Violation | None:
    first = (OrderPlaced.type, WorkFound.type) if entries[0]["event"] == WorkFound.type else (OrderPlaced.type,)
    placed = [entry["seq"] for entry in entries if entry["event"] in first and entry["outcome"] == ACTED]
    if placed != [1]:
        return _violation(Broken.HISTORY_TORN, saga, f"placed in line {placed}", entries[0])
    for before, after in pairwise(entries):
        if before["to_status"] != after["from_status"]:
            what = f"line {after['seq']} goes on from {after['from_status']}, after {before['to_status']}"
            return _violation(Broken.HISTORY_TORN, saga, what, after)
    for entry in entries:
        was, became = (OrderStatus(entry[name]) for name in ("from_status", "to_status"))
        if RANK[became] < RANK[was] or (was.final and became is not was):
            return _violation(Broken.HISTORY_TORN, saga, f"line {entry['seq']} goes from {was} to {became}", entry)
    return None


def _times(flow: Workflow, saga: Row, entries: Entries) -> Violation | None:
    for before, after in pairwise(entries):
        if after["at"] < before["at"]:
            return _violation(Broken.HISTORY_TIMES, saga, f"line {after['seq']} is earlier than the one before", after)
    if entries[-1]["at"] != saga["updated_at"]:
        return _violation(Broken.HISTORY_TIMES, saga, "its saga was written at another time", entries[-1])
    return None


def _unpaid(flow: Workflow, saga: Row, entries: Entries) -> Violation | None:
    heard: dict[str, int] = {}
    if entries[0]["event"] == WorkFound.type:  # it was paid before it was lost: the card network's own books tell when
        return None
    for entry in entries:
        if entry["outcome"] == ACTED:
            heard.setdefault(entry["event"], entry["seq"])
    pivot, sent = flow.pivot.success.type, [step.success.type for step in flow.steps if flow.pivot.name in step.after]
    for event in sent:
        if event in heard and heard[event] < heard.get(pivot, len(entries) + 1):
            entry = entries[heard[event] - 1]
            return _violation(Broken.SENT_UNPAID, saga, f"{event} in line {entry['seq']}, before {pivot}", entry)
    return None


def _nobody(flow: Workflow, saga: Row, entries: Entries) -> Violation | None:
    """A fact is told by who produces it, in a message; all else is said by a person, or by the clock."""
    producers = {kind.type: kind.producer for kind in flow.hears if issubclass(kind, Event)}
    for entry in entries:
        actor, event = entry["actor"], entry["event"]
        if actor in BY_ITSELF:
            right = (known := BY_ITSELF[actor]) is None or event in known
        elif event in producers:
            right = actor == producers[event] and entry["message_id"] is not None
        else:
            role, _, name = actor.partition(":")
            right = role in ("customer", "operator") and bool(name) and event != Tick.type
        if not right:
            return _violation(Broken.NOBODY_DID, saga, f"{event} in line {entry['seq']}, by {actor!r}", entry)
    return None


def _violation(broken: Broken, saga: Row, what: str, entry: Row) -> Violation:
    return Violation(broken, saga["order_id"], what, {TABLE: entry})


CHECKS: tuple[Callable[[Workflow, Row, Entries], Violation | None], ...] = (
    _gap,
    _rewritten,
    _torn,
    _times,
    _unpaid,
    _nobody,
)
