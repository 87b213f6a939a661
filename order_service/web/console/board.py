"""The board: how many orders stand where, how quickly they move, and which need a look first."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, redirect
from marshmallow import fields, pre_load
from sqlalchemy import Connection
from werkzeug.wrappers import Response as Answer

from order_service.fulfillment.saga import OrderStatus, Reason
from order_service.queries import count_needing_attention, count_orders, list_orders
from order_service.view import as_bytes
from order_service.web.console.pages import FormSchema, Room, own_token, page, read_query
from order_service.web.streams import Frame, frame, response
from shared.api_keys import Principal
from shared.http.auth import current
from shared.http.fields import SKU, Cursor, Moment, Text, cursor
from shared.http.problems import problem

SHOWN = 25
UUID_PREFIX = r"[0-9a-f-]{1,36}"
ORDER_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
SOON = {"Retry-After": "5"}


class MomentOfForm(Moment):
    """A moment as an API takes it, or as a browser's field has it: without a zone, which means UTC here."""

    _LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?")

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> datetime:
        if isinstance(value, str) and self._LOCAL.fullmatch(value):
            value = f"{value}{':00' * (value.count(':') == 1)}Z"
        return super()._deserialize(value, attr, data, **kwargs)


class FilterSchema(FormSchema):
    """What is wanted; fields that were left empty are none."""

    status = fields.Enum(OrderStatus, by_value=True, load_default=None)
    reason = fields.Enum(Reason, by_value=True, load_default=None)
    attention = fields.Boolean(load_default=None, truthy={"true"}, falsy={"false"})
    customer = Text(64, load_default=None)
    sku = Text(64, pattern=SKU, load_default=None)
    since = MomentOfForm(load_default=None)
    until = MomentOfForm(load_default=None)
    id = Text(36, pattern=UUID_PREFIX, load_default="")
    cursor = Cursor(ORDER_ID, load_default=None)

    @pre_load
    def without_empty(self, given: Any, **_: Any) -> dict[str, str]:
        return {name: text.strip() for name, text in dict(given).items() if text.strip()}


class BoardTopic:
    """The board's moving parts, made once a second for all who may see the same and look through the same filter."""

    order_id: str | None = None
    pace = 1.0
    has_backlog = False

    def __init__(self, room: Room, who: Principal, wanted: Mapping[str, Any]) -> None:
        self._room, self._who, self._wanted = room, who, wanted
        self._shown, self._number, self._changed = "", 0, 0

    def frames(self, connection: Connection, after: int) -> list[Frame]:
        shown = _shown(connection, self._room, self._who, self._wanted)
        html = self._room.render_part("_board.html", **shown)
        self._number += 1
        if html != self._shown:
            self._shown, self._changed = html, self._number
        table = frame(0, html).data if after < self._changed else b""
        if not self._who.is_operator:
            return [Frame(self._number, table)] if table else []
        self._room.activity.update(connection)
        plots = frame(0, as_bytes(self._room.series()).decode(), event="activity").data
        return [Frame(self._number, plots + table)]


def add_board(pages: Blueprint, room: Room) -> None:
    @pages.get("/")
    @room.requires()
    def home() -> Answer:
        return redirect("/console", 303)

    @pages.get("/console")
    @room.requires()
    def board() -> str:
        wanted = read_query(FilterSchema)
        with room.database.reading() as connection:
            shown = _shown(connection, room, current(), wanted)
            room.activity.update(connection)
        series = as_bytes(room.series()).decode() if current().is_operator else None
        return page(
            "board.html",
            **shown,
            series=series,
            filtered=bool(_query({**wanted, "cursor": None})),
            live=f"/console/live?{_query(wanted)}" if not wanted["cursor"] else None,
        )

    @pages.get("/console/live")
    @room.requires()
    def board_live() -> Answer:
        """The board's news, as they come."""
        who, wanted = current(), read_query(FilterSchema)

        def make() -> BoardTopic:
            return BoardTopic(room, who, wanted)

        key = ("board", None if who.is_operator else who.customer_id, _query(wanted))
        stream = room.watch.view(key, make, 0, who.id, own_token())
        if stream is None:
            problem(503, "Too many pages are open. Close some, or try again later.", headers=SOON)
        return response(stream, room.watch.release)


def _shown(connection: Connection, room: Room, who: Principal, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the templates need."""
    counts = room.counts.all(connection) if who.is_operator else count_orders(connection, who.customer_id)
    attention = count_needing_attention(connection) if who.is_operator else 0
    found = list_orders(connection, **search(who, wanted), before=wanted["cursor"], limit=SHOWN + 1)
    looked_at_first = []
    if who.is_operator and attention and not _query(wanted):
        looked_at_first = list_orders(connection, needs_attention=True, limit=SHOWN)
    return {
        "counts": {status: counts.get(status, 0) for status in OrderStatus},
        "attention": attention,
        "first": looked_at_first,
        "now": room.clock.now(connection),
        "orders": found[:SHOWN],
        "next": _query({**wanted, "cursor": found[SHOWN - 1].id}) if len(found) > SHOWN else None,
        "wanted": wanted,
        "reasons": list(Reason),
        "statuses": list(OrderStatus),
        "currency": room.settings.currency,
        "operator": who.is_operator,
    }


def search(who: Principal, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The filter as `list_orders` takes it; a customer's own orders, whatever the filter says."""
    return {
        "customer_id": wanted["customer"] if who.is_operator else who.name,
        "status": wanted["status"],
        "needs_attention": wanted["attention"],
        "reason": wanted["reason"],
        "sku": wanted["sku"],
        "since": wanted["since"],
        "until": wanted["until"],
        "prefix": wanted["id"],
    }


def _query(wanted: Mapping[str, Any]) -> str:
    """The same filter as a query string."""
    given = {name: value for name, value in wanted.items() if value not in (None, "")}
    return urlencode({name: _text(name, value) for name, value in given.items()})


def _text(name: str, value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, bool):
        return "true" if value else "false"
    return cursor(value) if name == "cursor" else str(value)
