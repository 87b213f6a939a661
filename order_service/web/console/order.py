"""The page of one order: how it stands, what happened, what can be done."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Blueprint, redirect, render_template, request
from marshmallow import fields, validate
from sqlalchemy import Connection
from werkzeug.wrappers import Response as Answer

from order_service.commands import NotFound
from order_service.explanation import explain
from order_service.participants import Asker
from order_service.queries import find_order, history
from order_service.story import tell
from order_service.terms import flow_of
from order_service.view import Order, order_view
from order_service.web.actions import order_actions, step_actions
from order_service.web.console.drawing import BOX_HEIGHT, BOX_WIDTH, draw
from order_service.web.console.pages import FormSchema, Room, own_token, page, read_form, read_query
from order_service.web.console.timeline import lay_out
from order_service.web.events import look
from order_service.web.explaining import known_here
from order_service.web.streams import Frame, frame, response
from shared.api_keys import Principal
from shared.http.auth import current
from shared.http.fields import LINES, Text, WholeText
from shared.http.problems import problem

ENTRIES = 500  # of the history, on the page
SOON = {"Retry-After": "5"}
DONE = {
    "cancel": "The order was told to cancel.",
    "approve": "The order was approved.",
    "refuse": "The order was refused.",
    "retry": "The step is asked again.",
    "reverse": "The step was withdrawn.",
    "settle": "The step was settled by hand.",
    "deadline": "The deadline was moved.",
}


class ActSchema(FormSchema):
    note = Text(500, least=0, pattern=LINES, load_default="")
    step = Text(40, load_default=None)
    minutes = WholeText(0, 527_040, load_default=None)
    back = fields.String(load_default="order", validate=validate.OneOf(["order", "desk"]))


class SeenSchema(FormSchema):
    version = WholeText(0, 2**31, load_default=0)


class DidSchema(FormSchema):
    did = fields.String(load_default=None, validate=validate.OneOf(DONE))


class OrderTopic:
    """The order's part of the page, made once for all who look at it with the same rights."""

    pace = 0.0
    has_backlog = False

    def __init__(self, room: Room, order_id: str, who: Principal) -> None:
        self.order_id: str | None = order_id
        self._room, self._who = room, who

    def frames(self, connection: Connection, after: int) -> list[Frame]:
        assert self.order_id
        record = find_order(connection, self.order_id)
        if record is None or record.version <= after:
            return []
        html = self._room.render_part("_order.html", **_shown(self._room, connection, record, self._who))
        return [frame(record.version, html, id=str(record.version))]


def add_order(pages: Blueprint, room: Room) -> None:
    def find(connection: Connection, order_id: UUID) -> Order:
        record, who = find_order(connection, str(order_id)), current()
        if record is None or not who.may_see(record.customer_id):
            raise NotFound(f"There is no order {order_id}.")
        return record

    @pages.get("/console/orders/<uuid:order_id>")
    @room.requires()
    def order_page(order_id: UUID) -> str:
        did = read_query(DidSchema)["did"]
        with room.database.reading() as connection:
            record = find(connection, order_id)
            shown = _shown(room, connection, record, current())
        return page("order.html", **shown, notice=DONE.get(did or ""))

    @pages.get("/console/orders/<uuid:order_id>/live")
    @room.requires()
    def order_live(order_id: UUID) -> Answer:
        """The page's news, as they come."""
        who = current()
        with room.database.reading() as connection:
            find(connection, order_id)
        resumed = request.headers.get("Last-Event-ID", "")
        seen = int(resumed) if resumed.isdigit() and len(resumed) < 10 else read_query(SeenSchema)["version"]
        key = ("order page", str(order_id), who)

        def make() -> OrderTopic:
            return OrderTopic(room, str(order_id), who)

        stream = room.watch.view(key, make, seen, who.id, own_token())
        if stream is None:
            problem(503, "Too many pages are open. Close some, or try again later.", headers=SOON)
        return response(stream, room.watch.release)

    @pages.get("/console/orders/<uuid:order_id>/participants")
    @room.requires("operator")
    def participants(order_id: UUID) -> str:
        """What the other services say, as a part of the page."""
        with room.database.reading() as connection:
            record, now = find(connection, order_id), room.clock.now(connection)
        token, grace = room.settings.participants_key, room.settings.reconcile_grace
        asked = look(room.show, record, Asker.of(room.settings), token, now=now, grace=grace) if token else None
        return render_template("_participants.html", asked=asked)

    _add_actions(pages, room)


def _add_actions(pages: Blueprint, room: Room) -> None:
    commands = room.commands

    @pages.post("/console/orders/<uuid:order_id>/<any(cancel, approve, refuse):action>")
    @room.requires()
    def act(order_id: UUID, action: str) -> Answer:
        who, form = current(), read_form(ActSchema)
        if action != "cancel" and not who.is_operator:
            problem(403, "This is for operators.")
        getattr(commands, action)(str(order_id), who, form["note"] or None)
        return _back(order_id, action, form["back"])

    @pages.post("/console/orders/<uuid:order_id>/steps/<step>/<any(retry, reverse, settle, deadline):action>")
    @room.requires("operator")
    def act_on_step(order_id: UUID, step: str, action: str) -> Answer:
        who, form = current(), read_form(ActSchema)
        note = form["note"] or None
        if action == "deadline":
            later = None if form["minutes"] is None else room.now() + timedelta(minutes=form["minutes"])
            commands.move_deadline(str(order_id), step, later, who, note)
        elif action == "settle" and not note:
            problem(422, "Say in a few words how the step was seen to.")
        else:
            getattr(commands, action)(str(order_id), step, who, note)
        return _back(order_id, action, form["back"])


def _back(order_id: UUID, action: str, to: str) -> Answer:
    """To where the button was."""
    where = "/console/desk" if to == "desk" else f"/console/orders/{order_id}"
    return redirect(f"{where}?did={action}", 303)


def _shown(room: Room, connection: Connection, record: Order, who: Principal) -> Mapping[str, Any]:
    """What the templates need."""
    now = room.clock.now(connection)
    flow = flow_of(room.show.flows, record.id, record.workflow_version)
    order = order_view(record, flow)
    entries = history(connection, record.id, limit=ENTRIES)
    steps = {step["name"]: step for step in order["steps"]}
    return {
        "order": order,
        "flow": flow,
        "steps": steps,
        "drawing": draw(flow, steps),
        "box": (BOX_WIDTH, BOX_HEIGHT),
        "line": lay_out(flow, entries, now if not record.status.final else entries[-1]["at"]),
        "story": tell(flow, entries),
        "explained": explain(known_here(connection, room.show, record, who, now, entries)),
        "history": entries,
        "actions": order_actions(flow, record, who, now),
        "step_actions": step_actions(flow, record, now) if who.is_operator else {},
        "now": now,
    }
