"""The desk: what waits for a person. Approvals, parked steps, deadlines, dead letters, and whether the books add up."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, render_template
from marshmallow import fields, validate
from sqlalchemy import Connection
from werkzeug.wrappers import Response as Answer

from order_service.fulfillment.saga import OrderStatus
from order_service.queries import list_orders, next_deadlines
from order_service.web.console.letters import add_letters
from order_service.web.console.order import DONE as DONE_TO_ORDER
from order_service.web.console.pages import FormSchema, Room, own_token, page, read_query
from order_service.web.streams import Frame, frame, response
from shared.api_keys import Principal
from shared.http.auth import current
from shared.http.fields import WholeText
from shared.http.problems import problem

SHOWN = 50
SOON = {"Retry-After": "5"}
DONE = {"replay": "{} dead letters will be worked again.", "discard": "{} dead letters were given up."}


class DidSchema(FormSchema):
    did = fields.String(load_default=None, validate=validate.OneOf(DONE_TO_ORDER))
    act = fields.String(load_default=None, validate=validate.OneOf(["replay", "discard"]))
    count = WholeText(0, 10**9, load_default=0)


class DeskTopic:
    """What waits for a person, made anew each second for all who look."""

    order_id: str | None = None
    pace = 1.0
    has_backlog = False

    def __init__(self, room: Room, who: Principal) -> None:
        self._room, self._who = room, who
        self._shown, self._number = "", 0

    def frames(self, connection: Connection, after: int) -> list[Frame]:
        html = self._room.render_part("_desk.html", **_waiting(connection))
        if html == self._shown and after >= self._number:
            return []
        self._number += html != self._shown
        self._shown = html
        return [frame(self._number, html)]


def add_desk(pages: Blueprint, room: Room) -> None:
    @pages.get("/console/desk")
    @room.requires("operator")
    def desk() -> str:
        did = read_query(DidSchema)
        with room.database.reading() as connection:
            waiting, now = _waiting(connection), room.clock.now(connection)
        notice = DONE[did["act"]].format(did["count"]) if did["act"] else DONE_TO_ORDER.get(did["did"] or "")
        return page("desk.html", **waiting, notice=notice, now=now, can_audit=room.attached.audit is not None)

    @pages.get("/console/desk/live")
    @room.requires("operator")
    def desk_live() -> Answer:
        """The desk's news, as they come."""
        who = current()
        stream = room.watch.view(("desk", who), lambda: DeskTopic(room, who), 0, who.id, own_token())
        if stream is None:
            problem(503, "Too many pages are open. Close some, or try again later.", headers=SOON)
        return response(stream, room.watch.release)

    add_letters(pages, room)

    @pages.get("/console/desk/audit")
    @room.requires("operator")
    def audited() -> str:
        """Look now whether the books add up, as a part of the desk."""
        audit = room.attached.audit
        if audit is None:
            problem(404, "The books are held together by `fulfillment audit`, which sees all databases.")
        return render_template("_audit.html", audited=audit())


def _waiting(connection: Connection) -> Mapping[str, Any]:
    return {
        "approvals": list_orders(connection, status=OrderStatus.AWAITING_APPROVAL, limit=SHOWN),
        "parked": list_orders(connection, needs_attention=True, limit=SHOWN),
        "deadlines": next_deadlines(connection, limit=SHOWN),
    }
