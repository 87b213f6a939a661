"""The page where things are broken on purpose: only where whoever holds the system lets it be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from flask import Blueprint, redirect
from marshmallow import fields, validate
from sqlalchemy import Connection
from werkzeug.wrappers import Response as Answer

from order_service.queries import count_needing_attention
from order_service.view import as_bytes
from order_service.web.console.activity import Mark
from order_service.web.console.pages import FormSchema, Room, own_token, page, read_form, read_query
from order_service.web.streams import Frame, frame, response
from shared.api_keys import Principal
from shared.http.auth import current
from shared.http.fields import Text, WholeText
from shared.http.problems import problem, problem_response

SOON = {"Retry-After": "5"}


class Refusal(Exception):
    """It cannot be done; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Something that can be broken; its first choice is to be well. `kind` is what other parts like it are called."""

    name: str
    state: str
    choices: tuple[str, ...]
    kind: str


@dataclass(frozen=True, kw_only=True)
class State:
    """Everything that can be broken, how the stream of orders and the script are, and what was done."""

    parts: list[Part]
    rate: int
    seconds_left: int
    trouble_left: int
    seed: int
    since: datetime | None
    words: str
    marks: list[Mark] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Playground(Protocol):
    """What the page needs of whoever holds the system. Everything raises Refusal when it cannot be done."""

    def fates(self) -> Sequence[tuple[str, str]]: ...
    def place(self, fate: str) -> str: ...
    def set(self, part: str, choice: str) -> None: ...
    def mend(self) -> None: ...
    def make_trouble(self) -> None: ...
    def state(self) -> State: ...
    def set_rate(self, rate: int, minutes: int) -> None: ...


class PlaceSchema(FormSchema):
    fate = Text(40, required=True)


class PartSchema(FormSchema):
    part = Text(60, required=True)
    choice = Text(60, required=True)


class RateSchema(FormSchema):
    rate = WholeText(0, 600, required=True)
    minutes = WholeText(1, 600, load_default=30)


class WhatSchema(FormSchema):
    what = fields.String(required=True, validate=validate.OneOf(["trouble", "mend"]))


class PlacedSchema(FormSchema):
    placed = fields.UUID(load_default=None)


class BreakingTopic:
    """The page's moving parts, made anew each second for all who look."""

    order_id: str | None = None
    pace = 1.0
    has_backlog = False

    def __init__(self, room: Room, who: Principal, playground: Playground) -> None:
        self._room, self._playground = room, playground
        self._number = 0

    def frames(self, connection: Connection, after: int) -> list[Frame]:
        self._room.activity.update(connection)
        self._number += 1
        plots = frame(0, as_bytes(self._room.series()).decode(), event="activity").data
        html = self._room.render_part("_breaking.html", **_shown(connection, self._room, self._playground))
        return [Frame(self._number, plots + frame(0, html).data)]


def add_breaking(pages: Blueprint, room: Room) -> None:
    def playground() -> Playground:
        found: Playground | None = room.attached.playground
        if found is None:
            problem(404, "Nothing can be broken here: this is for `play`, and for `up --console-may-break`.")
        return found

    pages.register_error_handler(Refusal, lambda error: problem_response(409, str(error)))

    @pages.get("/console/break")
    @room.requires("operator")
    def breaking() -> str:
        ground, placed = playground(), read_query(PlacedSchema)["placed"]
        with room.database.reading() as connection:
            room.activity.update(connection)
            shown = _shown(connection, room, ground)
        series = as_bytes(room.series()).decode()
        return page("breaking.html", **shown, fates=ground.fates(), series=series, placed=placed)

    @pages.get("/console/break/live")
    @room.requires("operator")
    def breaking_live() -> Answer:
        """The page's news, as they come."""
        who, ground = current(), playground()
        stream = room.watch.view("breaking", lambda: BreakingTopic(room, who, ground), 0, who.id, own_token())
        if stream is None:
            problem(503, "Too many pages are open. Close some, or try again later.", headers=SOON)
        return response(stream, room.watch.release)

    @pages.post("/console/break/orders")
    @room.requires("operator")
    def place() -> Answer:
        placed = playground().place(read_form(PlaceSchema)["fate"])
        return redirect(f"/console/break?placed={placed}", 303)

    @pages.post("/console/break/parts")
    @room.requires("operator")
    def set_part() -> Answer:
        form = read_form(PartSchema)
        playground().set(form["part"], form["choice"])
        return redirect("/console/break", 303)

    @pages.post("/console/break/rate")
    @room.requires("operator")
    def set_rate() -> Answer:
        form = read_form(RateSchema)
        playground().set_rate(form["rate"], form["minutes"])
        return redirect("/console/break", 303)

    @pages.post("/console/break/all")
    @room.requires("operator")
    def set_all() -> Answer:
        ground = playground()
        act = ground.make_trouble if read_form(WhatSchema)["what"] == "trouble" else ground.mend
        act()
        return redirect("/console/break", 303)


def _shown(connection: Connection, room: Room, playground: Playground) -> Mapping[str, Any]:
    counts, state = room.counts.all(connection), playground.state()
    return {
        "state": state,
        "happened": room.activity.since(state.since) if state.since else {},
        "under_way": sum(count for status, count in counts.items() if not status.final),
        "attention": count_needing_attention(connection),
    }
