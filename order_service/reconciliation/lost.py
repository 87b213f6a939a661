"""Finds lost orders again: participants have worked for them, and the order service does not know them (any more).

Such an order becomes one again, as far as it can be told from what the participants hold; the workflow then undoes it,
or, past its pivot, ends it. Who ordered it, and where to, is not known.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from order_service.catalog import find_products
from order_service.domain import Wish, price
from order_service.fulfillment.inputs import WorkFound
from order_service.fulfillment.parts import Stage
from order_service.participants import Saying, stages
from order_service.reconciliation.healing import ACTOR
from order_service.reconciliation.reading import known_orders, last_entries, lock_marks, placed_orders
from order_service.sagas import Held, Sagas
from order_service.store import add_orders, save_orders
from order_service.tables import TABLES
from order_service.terms import Terms
from order_service.view import Order, order_row
from shared.contracts import Event
from shared.ids import NewId
from shared.messaging.envelope import enclose

NOBODY = "-"  # a customer that no API key can be of
NOWHERE = dict.fromkeys(("name", "line1", "city", "postal_code", "country"), "")


def find_again(
    connection: Connection, sayings: Mapping[str, Sequence[Saying]], terms: Terms, now: datetime, new_id: NewId
) -> list[str]:
    """Make orders of those that are not known, and have the workflow decide; returns their ids.

    All participants must have answered of each. An order that nobody has worked for is none.
    """
    lock_marks(connection)
    missing = sayings.keys() - known_orders(connection, sayings.keys())
    placed, last = placed_orders(connection, missing), last_entries(connection, missing)
    held: list[Held] = []
    new: list[Order] = []
    messages: list[Event] = []
    for order_id in sorted(missing):
        far = stages(sayings[order_id])
        if far is None or set(far.values()) == {Stage.NOTHING}:
            continue
        facts = facts_of(order_id, sayings[order_id], far, terms.currency, placed.get(order_id))
        found = Held.start(order_id, terms.flow, facts, now)
        found.version, found.history_hash = last.get(order_id, (found.version, found.history_hash))
        decision = found.hear(WorkFound(stages=far, note=describe(sayings[order_id])), now, ACTOR)
        held.append(found)
        messages += decision.messages
        new.append(order_of(found, facts, now, lines_of(connection, facts)))
    add_orders(connection, [order_row(each) for each in new if each.id not in placed])
    save_orders(connection, [standing(each) for each in new if each.id in placed])
    Sagas(connection, now, held).flush()
    TABLES.outbox.add(connection, [enclose(each, at=now, new_id=new_id) for each in messages], due_at=now)
    return [each.order_id for each in held]


def describe(sayings: Sequence[Saying]) -> str:
    return ", ".join(f"{each.service} says {each.status}" for each in sayings)


def facts_of(
    order_id: str, sayings: Sequence[Saying], far: Mapping[str, Stage], currency: str, row: Any = None
) -> dict[str, Any]:
    """What is known of the order: from its own row if that is left, and from what the participants tell."""
    told = {each.service: each.document or {} for each in sayings}
    paid, parcel = told["payment"], told["shipping"]
    facts = {
        "order_id": order_id,
        "amount": row["total"] if row else paid.get("amount", 0),
        "currency": row["currency"] if row else paid.get("currency") or currency,
        "payment_token": "",
        "lines": [dict(each) for each in told["inventory"].get("lines", ())],
        "ship_to": dict(NOWHERE),
        "needs_approval": False,
    }
    if far["payment"] is Stage.FINISHED:
        facts |= {"authorized": paid.get("authorized", 0), "captured": paid.get("captured", 0)}
    if parcel.get("tracking_number"):
        facts |= {"carrier": parcel["carrier"], "tracking_number": parcel["tracking_number"]}
    return facts


def lines_of(connection: Connection, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lines at today's prices, if they come to what was paid; else of the goods only what and how many is known."""
    products = find_products(connection, {each["sku"] for each in facts["lines"]})
    wishes = [Wish(**each) for each in facts["lines"]]
    if products.keys() >= {each.sku for each in wishes}:
        priced = price(wishes, products)
        if sum(each["line_total"] for each in priced) == facts["amount"]:
            return priced
    return [{**each, "name": each["sku"], "unit_price": 0, "line_total": 0} for each in facts["lines"]]


def order_of(held: Held, facts: Mapping[str, Any], now: datetime, lines: Sequence[Mapping[str, Any]]) -> Order:
    """The order as its readers see it."""
    return Order(
        id=held.order_id,
        customer_id=NOBODY,
        lines=lines,
        total=facts["amount"],
        currency=facts["currency"],
        ship_to=NOWHERE,
        placed_at=now,
        status=held.saga.status(held.flow),
        reason=held.saga.reason,
        reason_detail=held.saga.reason_detail,
        needs_attention=held.saga.needs_attention(held.flow),
        forgotten_at=now,
        saga=held.saga,
        workflow_version=held.flow.version,
        version=held.version,
        updated_at=now,
    )


def standing(order: Order) -> dict[str, Any]:
    columns = ("id", "status", "reason", "reason_detail", "needs_attention")
    return {name: order_row(order)[name] for name in columns}
