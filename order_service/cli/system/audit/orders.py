"""The order service's own house: each order as its customer sees it, its saga, history and keys, held together."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from order_service.cli.system.audit.history import check_history
from order_service.cli.system.audit.keys import check_keys
from order_service.cli.system.audit.money import Amounts
from order_service.cli.system.audit.reading import OrderId, Span, rows, rows_of
from order_service.cli.system.audit.violations import Broken, Violation
from order_service.fulfillment.decide import ACTED
from order_service.fulfillment.inputs import SettlementRequested
from order_service.fulfillment.saga import OrderStatus, Progress, Saga, StepStatus, Workflow
from order_service.fulfillment.workflow import WORKFLOWS, amounts
from order_service.store import saga_from
from order_service.tables import idempotency_keys, orders, saga_history, sagas

Row = Mapping[str, Any]
_lines = msgspec.json.Decoder(list[dict[str, Any]])
_address = msgspec.json.Decoder(dict[str, str])

ENDS = {  # how each step may stand when an order has ended
    OrderStatus.FULFILLED: {StepStatus.DONE, StepStatus.SKIPPED},
    OrderStatus.CANCELLED: set(StepStatus) - {StepStatus.REQUESTED, StepStatus.DONE},
}


@dataclass(frozen=True, kw_only=True)
class House:
    """All that the order service keeps of one order; `row` is None when the order itself is gone."""

    id: OrderId
    row: Row | None
    saga: Row | None
    entries: Sequence[Row]
    keys: Sequence[Row]


@dataclass(frozen=True, kw_only=True)
class Order:
    """An order, as the others' books must agree with it."""

    id: OrderId
    status: OrderStatus
    row: Row
    amount: int
    lines: Mapping[str, int]  # quantity by sku
    amounts: Amounts  # as the customer is told
    carrier: str | None
    tracking_number: str | None
    settled: frozenset[str]  # steps that an operator has seen to by hand


@dataclass
class Page:
    """Some orders, by id, and everything of the order service that is about them."""

    span: Span
    houses: dict[OrderId, House] = field(default_factory=dict)
    entries: int = 0
    keys: int = 0


def read_page(connection: Connection, span: Span) -> Page:
    """What there is of the orders of this span, also of those whose order is gone."""
    page = Page(span)
    found = {row["id"]: row for row in rows(connection, select(orders).where(span.holds(orders.c.id)))}
    told = {row["order_id"]: row for row in rows_of(connection, sagas, span)}
    entries: dict[OrderId, list[Row]] = defaultdict(list)
    history = select(saga_history).where(span.holds(saga_history.c.order_id))
    for row in rows(connection, history.order_by(saga_history.c.order_id, saga_history.c.seq)):
        entries[row["order_id"]].append(row)
        page.entries += 1
    keys: dict[OrderId, list[Row]] = defaultdict(list)
    for row in rows_of(connection, idempotency_keys, span):
        keys[row["order_id"]].append(row)
        page.keys += 1
    for id_ in sorted(found.keys() | told.keys() | entries.keys() | keys.keys()):
        page.houses[id_] = House(
            id=id_, row=found.get(id_), saga=told.get(id_), entries=entries.get(id_, ()), keys=keys.get(id_, ())
        )
    return page


def oldest_key(connection: Connection) -> OrderId | None:
    """The first order whose key is still kept: older keys are forgotten."""
    first = select(idempotency_keys.c.order_id).order_by(idempotency_keys.c.order_id).limit(1)
    found: OrderId | None = connection.execute(first).scalar()
    return found


def check_house(connection: Connection, house: House, oldest: OrderId | None) -> tuple[Order | None, list[Violation]]:
    """The order, if it can be held against the others' books, and what is wrong with it in the house."""
    if house.row is None:
        return None, []  # told of with what the others have of it
    if house.saga is None:
        return None, [Violation(Broken.UNREADABLE, house.id, "it has no saga", {"order.orders": house.row})]
    try:
        flow, saga = WORKFLOWS[house.saga["workflow_version"]], saga_from(house.saga)
        OrderStatus(house.row["status"])
        status = _standing(flow, saga, house)
        history = list(check_history(flow, house.saga, house.entries))
        customer = None if history else house.entries[0]["actor"]
        trusted = replace(house, entries=()) if history else house  # what is wrong with a history is told once
        violations = [
            *history,
            *_check_standing(flow, saga, trusted, status),
            *_check_facts(saga, trusted),
            *check_keys(connection, house.row, saga.facts, customer, house.keys, oldest),
        ]
        return _order(saga, house, status), violations
    except (msgspec.MsgspecError, KeyError, ValueError, TypeError) as error:
        what = f"{type(error).__name__}: {error}"
        return None, [Violation(Broken.UNREADABLE, house.id, what, {"order.sagas": house.saga})]


def _standing(flow: Workflow, saga: Saga, house: House) -> OrderStatus:
    """How the order really stands: what two of order, steps and history say."""
    assert house.row
    shown, counted = OrderStatus(house.row["status"]), saga.status(flow)
    last = house.entries[-1]["to_status"] if house.entries else None
    return shown if shown in (counted, last) else counted


def _check_standing(flow: Workflow, saga: Saga, house: House, status: OrderStatus) -> Iterator[Violation]:
    assert house.row
    assert house.saga
    seen = {"order.orders": _part(house.row), "order.sagas": _part(house.saga)}

    def violation(broken: Broken, what: str) -> Violation:
        return Violation(broken, house.id, what, seen)

    asked = [name for name, progress in saga.steps.items() if _is_asked(progress)]
    deadlines = [name for name, progress in saga.steps.items() if progress.deadline]
    problems = [name for name, progress in saga.steps.items() if progress.problem and not progress.problem.settled]
    counted, shown = saga.status(flow), OrderStatus(house.row["status"])
    ended = [entry["to_status"] for entry in house.entries[-1:]]
    if status.final and asked:
        yield violation(Broken.FINAL_ASKED, f"{status}, but {', '.join(asked)} is asked")
    elif {counted, shown, *ended} != {status}:
        yield violation(Broken.STATUS_DIFFERS, f"{shown}, {counted} by its steps, by its history {', '.join(ended)}")
    elif status.final and (odd := _odd_steps(saga, status)):
        yield violation(Broken.STATUS_DIFFERS, f"{status}, but {odd}")
    reasons = [(each["reason"], each["reason_detail"]) for each in (house.row, house.saga)]
    if reasons[0] != reasons[1] or saga.backward != (saga.reason is not None):
        yield violation(Broken.REASON_DIFFERS, f"{reasons[0]} by the order, {reasons[1]} by its saga")
    called = house.row["needs_attention"], house.saga["needs_attention"]
    if status.final and any(called) and not problems and not deadlines:
        yield violation(Broken.FINAL_ATTENTION, f"{status}, and no step needs a person")
    elif problems and not all(called):
        yield violation(Broken.ASLEEP, f"{', '.join(problems)} needs a person, and nobody is called")
    wakes = house.saga["wake_at"]
    if status.final and wakes and not deadlines:
        yield violation(Broken.FINAL_WAKES, f"{status}, and wakes at {wakes:%Y-%m-%dT%H:%M:%SZ}")
    elif wakes is None and not (status.final and asked) and (deadlines or not status.final):
        yield violation(Broken.ASLEEP, f"{status}, and no time to wake")


def _is_asked(progress: Progress) -> bool:
    """Whether an answer is owed; what is undone after the order has ended is owed to nobody."""
    undoing = progress.status is StepStatus.COMPENSATING and progress.settled_at is None
    return undoing or progress.status is StepStatus.REQUESTED


def _odd_steps(saga: Saga, status: OrderStatus) -> str:
    """What of the steps does not fit this end."""
    fits = ENDS[status]
    odd = [f"{name} is {p.status}" for name, p in saga.steps.items() if p.status not in fits]
    if saga.backward != (status is OrderStatus.CANCELLED):
        odd.append("it has turned back" if saga.backward else "it has not turned back")
    return ", ".join(odd)


def _check_facts(saga: Saga, house: House) -> Iterator[Violation]:
    """What was ordered, as it was placed and as the saga works on it."""
    assert house.row
    row, facts, lines = house.row, saga.facts, _lines.decode(house.row["lines"])
    ours = {
        "order_id": row["id"],
        "amount": row["total"],
        "currency": row["currency"],
        "lines": [{"sku": line["sku"], "quantity": line["quantity"]} for line in lines],
        "ship_to": _address.decode(row["ship_to"]),
    }
    wrong = [f"{name} {value!r}, and {facts.get(name)!r} by its saga" for name, value in ours.items()
             if facts.get(name) != value]  # fmt: skip
    prices = sum(line["line_total"] for line in lines), sum(line["quantity"] * line["unit_price"] for line in lines)
    if prices != (row["total"], row["total"]) and not wrong:
        wrong.append(f"a total of {row['total']}, but lines of {prices[0]}")
    if house.entries and house.entries[0]["at"] != row["placed_at"]:
        wrong.append(f"placed at {row['placed_at']}, and {house.entries[0]['at']} by its history")
    if wrong:
        yield Violation(Broken.ORDER_CONTRADICTS, row["id"], "; ".join(wrong), {"order.orders": row})


def _order(saga: Saga, house: House, status: OrderStatus) -> Order:
    assert house.row
    facts = saga.facts
    acted = (e for e in house.entries if e["event"] == SettlementRequested.type and e["outcome"] == ACTED)
    return Order(
        id=house.id,
        status=status,
        row=_part(house.row),
        amount=facts["amount"],
        lines={str(line["sku"]): int(line["quantity"]) for line in facts["lines"]},
        amounts=Amounts(**amounts(facts)),
        carrier=facts.get("carrier"),
        tracking_number=facts.get("tracking_number"),
        settled=frozenset(entry["step"] for entry in acted),
    )


def _part(row: Row) -> Row:
    """What a violation shows of a row: how it stands, and not where its customer lives."""
    return {name: value for name, value in row.items() if name not in ("facts", "ship_to", "lines", "history_hash")}
