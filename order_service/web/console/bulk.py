"""One act on all orders that a filter finds: first it says how many, then it does it, passing over those that moved.

Each order is a transaction of its own. A request does a few of them, and its answer asks for the next few: whatever
process that comes to goes on, and with the page the act ends.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flask import Blueprint
from marshmallow import fields, validate
from sqlalchemy import Connection

from order_service.commands import Conflict, NotFound
from order_service.fulfillment.saga import OrderStatus
from order_service.queries import list_orders
from order_service.view import Order
from order_service.web.console.board import ORDER_ID, FilterSchema, search
from order_service.web.console.pages import Room, page, read_form
from shared.api_keys import Principal
from shared.http.auth import current
from shared.http.fields import Text, WholeText

BATCH = 200  # orders that are read at a time
COUNTED = 20_000  # orders, up to which it says how many exactly
WHILE = 1.0  # seconds for which a request goes on; the visitor wants to see how far it is
LABELS = {"cancel": "Cancel", "approve": "Approve", "refuse": "Refuse", "retry": "Ask again now"}
MEANT_FOR: Mapping[str, Callable[[Order], bool]] = {
    "cancel": lambda order: not order.status.final and not order.saga.backward,
    "approve": lambda order: order.status == OrderStatus.AWAITING_APPROVAL,
    "refuse": lambda order: order.status == OrderStatus.AWAITING_APPROVAL,
    "retry": lambda order: order.needs_attention,
}


class BulkSchema(FilterSchema):
    act = fields.String(required=True, validate=validate.OneOf(LABELS))
    note = Text(500, load_default=None)
    total = WholeText(0, 10**9, load_default=0)
    done = WholeText(0, 10**9, load_default=0)
    moved = WholeText(0, 10**9, load_default=0)
    before = Text(36, pattern=ORDER_ID, load_default=None)


def add_bulk(pages: Blueprint, room: Room) -> None:
    @pages.post("/console/bulk/ask")
    @room.requires("operator")
    def ask() -> str:
        """How many would it be?"""
        form, count = read_form(BulkSchema), 0
        with room.database.reading() as connection:
            for _ in matching(connection, current(), form):
                count += 1
                if count == COUNTED:
                    break
        form |= {"total": count}
        return page("bulk.html", form=form, carried=_carried(form), label=LABELS[form["act"]], most=COUNTED)

    @pages.post("/console/bulk")
    @room.requires("operator")
    def do() -> str:
        """Go on with it for a moment; those that moved meanwhile are counted and left alone."""
        form, who = read_form(BulkSchema), current()
        until, over = time.monotonic() + WHILE, True
        with room.database.reading() as connection:
            found = [order for order, _ in zip(matching(connection, who, form), range(BATCH), strict=False)]
        for order in found:
            if time.monotonic() > until:
                over = False
                break
            form["before"] = order.id
            try:
                _act(room, form["act"], order, who, form["note"])
                form["done"] += 1
            except (Conflict, NotFound):
                form["moved"] += 1
        over = over and len(found) < BATCH
        label = LABELS[form["act"]]
        return page("bulk_done.html", form=form, carried=_carried(form), label=label, over=over, most=COUNTED)


def matching(connection: Connection, who: Principal, form: Mapping[str, Any]) -> Iterator[Order]:
    """The orders that match and for which the act is meant, the newest first, from behind `before` on."""
    wanted, before = narrowed(form["act"], search(who, form)), form["before"]
    while wanted is not None:
        batch = list_orders(connection, **wanted, before=before, limit=BATCH)
        yield from filter(MEANT_FOR[form["act"]], batch)
        if len(batch) < BATCH:
            return
        before = batch[-1].id


def narrowed(act: str, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """The search, by what an index knows of the orders that the act is meant for; None when there can be none."""
    if act == "retry":
        return None if wanted["needs_attention"] is False else {**wanted, "needs_attention": True}
    if act == "cancel":
        return {**wanted, "under_way": True}
    asked = wanted["status"] or OrderStatus.AWAITING_APPROVAL
    return {**wanted, "status": asked} if asked == OrderStatus.AWAITING_APPROVAL else None


def _carried(form: Mapping[str, Any]) -> dict[str, Any]:
    """What the next request has to know."""
    return {name: value for name, value in form.items() if name != "cursor" and value not in (None, "")}


def _act(room: Room, act: str, order: Order, who: Principal, note: str | None) -> None:
    if act == "retry":
        for name, step in order.saga.steps.items():
            if step.deadline is not None:
                room.commands.retry(order.id, name, who, note)
    else:
        getattr(room.commands, act)(order.id, who, note)
