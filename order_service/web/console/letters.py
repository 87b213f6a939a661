"""The dead letters of all services, as a part of the desk: grouped by reason; one, a group or a filter worked again."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, redirect, render_template
from marshmallow import fields, validate
from werkzeug.wrappers import Response as Answer

from order_service.participants import PATHS, NoAnswer, call
from order_service.tables import TABLES
from order_service.web.console.pages import FormSchema, Room, read_form, read_query
from shared.api_keys import Principal
from shared.http.auth import current
from shared.http.dead_letters import ANY, counted, shown
from shared.http.fields import Text
from shared.http.problems import problem
from shared.ids import uuid7
from shared.messaging.durability.dead_letters import Like, kind_of

log = logging.getLogger("fulfillment.console")

SHOWN = 50  # letters of each service
LARGEST = 32 * 1024 * 1024  # bytes that a service's letters may have together
SOON = {"Retry-After": "5"}
OWN = "order"
SERVICES = (OWN, *PATHS)
NO_KEY = "PARTICIPANTS_KEY is not set, so this service cannot ask the others."

Letter = Mapping[str, Any]


class WhichSchema(FormSchema):
    """Which letters are wanted; what was left empty is no condition."""

    service = fields.String(load_default="", validate=validate.OneOf(["", *SERVICES]))
    kind = Text(1000, least=0, pattern=ANY, load_default="")
    type = Text(255, least=0, pattern=ANY, load_default="")


class ActSchema(WhichSchema):
    """One letter, or without it all that are so."""

    message_id = Text(255, pattern=ANY, load_default=None)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Dead letters of one service and type that could not be worked for the same reason: all, and some to look at."""

    service: str
    kind: str
    type: str
    count: int
    letters: Sequence[Letter]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one service has; `error` says why it could not be asked."""

    service: str
    counts: Mapping[tuple[str, str], int]
    letters: Sequence[Letter]
    not_kept: Sequence[Letter] = ()  # how many more there were, by hour, producer and kind
    error: str = ""


def add_letters(pages: Blueprint, room: Room) -> None:
    @pages.get("/console/desk/dead-letters")
    @room.requires("operator")
    def dead_letters() -> str:
        """The dead letters of all services, or those that are wanted, as a part of the desk."""
        wanted = read_query(WhichSchema)
        with ThreadPoolExecutor(len(SERVICES)) as pool:
            found = list(pool.map(partial(_find, room, wanted), _wanted_services(wanted)))
        groups = [group for each in found for group in _groups(each, wanted)]
        errors = {each.service: each.error for each in found if each.error}
        beyond = [(each.service, group) for each in found for group in each.not_kept]
        return render_template(
            "_letters.html",
            groups=groups,
            beyond=beyond,
            errors=errors,
            wanted=wanted,
            services=SERVICES,
            principal=current(),
        )

    @pages.post("/console/desk/dead-letters/<any(replay, discard):act>")
    @room.requires("operator")
    def act_on_letters(act: str) -> Answer:
        form, who = read_form(ActSchema), current()
        ids = None if form["message_id"] is None else [form["message_id"]]
        alike = {name: form[name] or None for name in ("kind", "type")}
        if not form["service"] or not (ids or alike["kind"] or alike["type"]):
            problem(422, "Say which letters: one, or of which service and kind.")
        count = _act(room, act, form["service"], {"message_ids": ids, **alike}, who)
        return redirect(f"/console/desk?act={act}&count={count}", 303)


def _wanted_services(wanted: Mapping[str, Any]) -> Sequence[str]:
    return [wanted["service"]] if wanted["service"] else SERVICES


def _find(room: Room, wanted: Mapping[str, Any], service: str) -> Found:
    alike = {name: wanted[name] for name in ("kind", "type") if wanted[name]}
    if service == OWN:
        with room.database.reading() as connection:
            counts = TABLES.dead_letters.groups(connection)
            rows = TABLES.dead_letters.find(connection, like=Like(**alike), most=SHOWN)
            beyond = TABLES.dead_letters.ceilings.beyond(connection, SHOWN)
        not_kept = [counted(each) for each in beyond]
        return Found(service=service, counts=counts, letters=[shown(row) for row in rows], not_kept=not_kept)
    try:
        groups = _ask(room, service, "GET", "/dead-letters/groups")["items"]
        answer = _ask(room, service, "GET", f"/dead-letters?{urlencode({'limit': SHOWN, **alike})}")
    except NoAnswer as error:
        return Found(service=service, counts={}, letters=[], error=str(error))
    theirs = {(each["kind"], each["type"]): each["count"] for each in groups}
    return Found(service=service, counts=theirs, letters=answer["items"], not_kept=answer["not_kept"][:SHOWN])


def _groups(found: Found, wanted: Mapping[str, Any]) -> Iterator[Group]:
    for (kind, type_), count in sorted(found.counts.items()):
        if wanted["kind"] in ("", kind) and wanted["type"] in ("", type_):
            some = [each for each in found.letters if (kind_of(each["reason"]), each["type"]) == (kind, type_)]
            yield Group(service=found.service, kind=kind, type=type_, count=count, letters=some)


def _act(room: Room, act: str, service: str, which: dict[str, Any], who: Principal) -> int:
    """Replay or discard; returns to how many letters it was done."""
    if service == OWN:
        return _act_on_own(room, act, which, who)
    try:
        return len(_ask(room, service, "POST", f"/dead-letters/{act}", which)["message_ids"])
    except NoAnswer as error:
        problem(503, f"{service}: {error}", headers=SOON)


def _act_on_own(room: Room, act: str, which: dict[str, Any], who: Principal) -> int:
    letters, ids, like = TABLES.dead_letters, which["message_ids"], Like(which["kind"], which["type"])
    with room.database.transaction() as connection:
        if act == "discard":
            gone = letters.discard(connection, ids, like)
            log.warning("%s discards dead letters %s", who.id, ", ".join(gone))
            return len(gone)
        asked = letters.replay(connection, ids, now=room.clock.now(connection), new_id=uuid7, like=like)
    room.commands.notifier.notify()
    return len(asked)


def _ask(room: Room, service: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """What another service answers. Raises NoAnswer, also when it refuses."""
    key = room.settings.participants_key
    if not key:
        raise NoAnswer(NO_KEY)
    status, document = call(room.settings.urls[service], method, path, key, body, largest=LARGEST)
    if status not in (200, 202):
        raise NoAnswer(f"it answers {status}: {document.get('detail')}")
    return document
