"""One act on all orders that a filter finds: first it says how many, then it does it, passing over those that moved."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint
from marshmallow import fields, validate
from sqlalchemy import Connection

from order_service.commands import Conflict, NotFound
from order_service.queries import list_orders
from order_service.view import Order
from order_service.web.console.board import FilterSchema, search
from order_service.web.console.pages import Room, page, read_form
from shared.api_keys import Principal
from shared.http.auth import current
from shared.http.fields import Text

MOST = 500  # orders at a time: each is a transaction, and the visitor waits
LABELS = {"cancel": "Cancel", "approve": "Approve", "refuse": "Refuse", "retry": "Ask again now"}


class BulkSchema(FilterSchema):
    act = fields.String(required=True, validate=validate.OneOf(LABELS))
    note = Text(500, load_default=None)


def add_bulk(pages: Blueprint, room: Room) -> None:
    @pages.post("/console/bulk/ask")
    @room.requires("operator")
    def ask() -> str:
        """How many would it be?"""
        form = read_form(BulkSchema)
        with room.database.reading() as connection:
            found = matching(connection, current(), form)
        asked = {name: value for name, value in form.items() if name not in ("act", "note", "cursor")}
        return page("bulk.html", act=form["act"], label=LABELS[form["act"]], count=len(found), most=MOST, wanted=asked)

    @pages.post("/console/bulk")
    @room.requires("operator")
    def do() -> str:
        """Do it to all that match now; those that moved meanwhile are counted and left alone."""
        form, who = read_form(BulkSchema), current()
        with room.database.reading() as connection:
            found = matching(connection, who, form)
        done = moved = 0
        for order in found:
            try:
                _act(room, form["act"], order, who, form["note"])
                done += 1
            except (Conflict, NotFound):
                moved += 1
        return page("bulk_done.html", label=LABELS[form["act"]], done=done, moved=moved, more=len(found) == MOST)


def matching(connection: Connection, who: Principal, wanted: Mapping[str, Any]) -> list[Order]:
    """At most MOST orders that match and for which the act is meant, the newest first."""
    found: list[Order] = []
    fits = MEANT_FOR[wanted["act"]]
    before = None
    while len(found) < MOST:
        batch = list_orders(connection, **search(who, wanted), before=before, limit=200)
        found += [order for order in batch if fits(order)]
        if len(batch) < 200:
            break
        before = batch[-1].id
    return found[:MOST]


def _act(room: Room, act: str, order: Order, who: Principal, note: str | None) -> None:
    if act == "retry":
        for name, step in order.saga.steps.items():
            if step.deadline is not None:
                room.commands.retry(order.id, name, who, note)
    else:
        getattr(room.commands, act)(order.id, who, note)


MEANT_FOR: Mapping[str, Callable[[Order], bool]] = {
    "cancel": lambda order: not order.status.final and not order.saga.backward,
    "approve": lambda order: order.status == "awaiting_approval",
    "refuse": lambda order: order.status == "awaiting_approval",
    "retry": lambda order: order.needs_attention,
}
