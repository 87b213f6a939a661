"""The desk: what waits for a person. Approvals, parked steps, deadlines, dead letters, and whether the books add up."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, redirect, render_template
from marshmallow import fields, validate
from sqlalchemy import Connection
from werkzeug.wrappers import Response as Answer

from order_service.fulfillment.saga import OrderStatus
from order_service.participants import PATHS, NoAnswer, call
from order_service.queries import list_orders, next_deadlines
from order_service.tables import TABLES
from order_service.web.console.pages import FormSchema, Room, own_token, page, read_form, read_query
from order_service.web.streams import Frame, frame, response
from shared.api_keys import Principal
from shared.http.auth import current
from shared.http.dead_letters import shown as letter_shown
from shared.http.fields import Text, WholeText
from shared.http.problems import problem
from shared.ids import uuid7

log = logging.getLogger("fulfillment.console")

SHOWN = 50
SOON = {"Retry-After": "5"}
OWN = "order"
DONE = {"replay": "{} dead letters will be worked again.", "discard": "{} dead letters were given up."}
NO_KEY = "PARTICIPANTS_KEY is not set, so this service cannot ask the others."


class ReplaySchema(FormSchema):
    service = fields.String(required=True, validate=validate.OneOf([OWN, *PATHS]))
    message_id = fields.List(Text(255), load_default=[])


class DidSchema(FormSchema):
    act = fields.String(load_default=None, validate=validate.OneOf(["replay", "discard"]))
    count = WholeText(0, 10_000, load_default=0)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Dead letters of one service that could not be worked for the same reason."""

    service: str
    reason: str
    type: str
    letters: list[Mapping[str, Any]]


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
        notice = DONE[did["act"]].format(did["count"]) if did["act"] else None
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

    @pages.get("/console/desk/dead-letters")
    @room.requires("operator")
    def dead_letters() -> str:
        """The dead letters of all services, as a part of the desk."""
        found, errors = _letters(room)
        return render_template("_letters.html", groups=_grouped(found), errors=errors, principal=current())

    @pages.post("/console/desk/dead-letters/<any(replay, discard):act>")
    @room.requires("operator")
    def act_on_letters(act: str) -> Answer:
        form = read_form(ReplaySchema)
        if not form["message_id"]:
            problem(422, "No letter was chosen.")
        count = _act(room, act, form["service"], form["message_id"], current())
        return redirect(f"/console/desk?act={act}&count={count}", 303)

    @pages.get("/console/desk/books")
    @room.requires("operator")
    def books() -> str:
        """Look now whether the books add up, as a part of the desk."""
        audit = room.attached.audit
        if audit is None:
            problem(404, "The books are held together by `fulfillment books`, which sees all databases.")
        return render_template("_books.html", audited=audit())


def _waiting(connection: Connection) -> Mapping[str, Any]:
    return {
        "approvals": list_orders(connection, status=OrderStatus.AWAITING_APPROVAL, limit=SHOWN),
        "parked": list_orders(connection, needs_attention=True, limit=SHOWN),
        "deadlines": next_deadlines(connection, limit=SHOWN),
    }


def _letters(room: Room) -> tuple[list[tuple[str, Mapping[str, Any]]], dict[str, str]]:
    """Every service's parked letters, each with its service; and why a service could not be asked."""
    with room.database.reading() as connection:
        own = TABLES.dead_letters.find(connection, most=200)
        found: list[tuple[str, Mapping[str, Any]]] = [(OWN, letter_shown(row)) for row in own]
    errors: dict[str, str] = {}
    if not room.settings.participants_key:
        return found, dict.fromkeys(PATHS, NO_KEY)

    def ask(service: str) -> tuple[str, Any]:
        url = room.settings.urls[service]
        try:
            status, document = call(url, "GET", "/dead-letters?limit=200", room.settings.participants_key)
        except NoAnswer as error:
            return service, str(error)
        return service, document.get("items") if status == 200 else str(document.get("detail"))

    with ThreadPoolExecutor(len(PATHS)) as pool:
        for service, items in pool.map(ask, PATHS):
            if isinstance(items, list):
                found += [(service, item) for item in items]
            else:
                errors[service] = str(items)
    return found, errors


def _grouped(letters: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Group]:
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for service, letter in letters:
        kind = letter["reason"].partition(":")[0]
        groups.setdefault((service, kind, letter["type"]), []).append(letter)
    return list(_as_groups(groups))


def _as_groups(groups: Mapping[tuple[str, str, str], list[Mapping[str, Any]]]) -> Iterator[Group]:
    for (service, reason, kind), letters in sorted(groups.items()):
        yield Group(service=service, reason=reason, type=kind, letters=letters)


def _act(room: Room, act: str, service: str, ids: Sequence[str], who: Principal) -> int:
    """Replay or discard; returns to how many letters it was done."""
    if service == OWN:
        return _act_on_own(room, act, ids, who)
    if not room.settings.participants_key:
        problem(409, NO_KEY)
    url = getattr(room.settings, f"{service}_url")
    body = {"message_ids": list(ids)}
    try:
        status, document = call(url, "POST", f"/dead-letters/{act}", room.settings.participants_key, body)
    except NoAnswer as error:
        problem(503, f"{service}: {error}", headers=SOON)
    if status not in (200, 202):
        problem(502, f"{service} answers {status}: {document.get('detail')}")
    return len(document["message_ids"])


def _act_on_own(room: Room, act: str, ids: Sequence[str], who: Principal) -> int:
    letters = TABLES.dead_letters
    with room.database.transaction() as connection:
        if act == "discard":
            gone = letters.discard(connection, ids)
            log.warning("%s discards dead letters %s", who.id, ", ".join(gone))
            return len(gone)
        asked = letters.replay(connection, ids, now=room.clock.now(connection), new_id=uuid7)
    room.commands.notifier.notify()
    return len(asked)
