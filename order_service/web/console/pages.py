"""What all pages share: the room they live in, who may come in, how an answer and a problem look."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from flask import Blueprint, Flask, Response, abort, g, redirect, render_template, request, send_from_directory
from markupsafe import Markup
from marshmallow import EXCLUDE, Schema

from order_service.commands import Commands
from order_service.view import Show
from order_service.web.console.activity import Activity
from order_service.web.console.counts import Counts
from order_service.web.console.sessions import COOKIE, VISITOR, Sessions, form_token, is_own_form
from order_service.web.watch import Watch
from shared.api_keys import Keys, Principal, Role
from shared.clock import Clock
from shared.config import Settings
from shared.database import Database, retried
from shared.http.auth import public, requires
from shared.http.fields import StrictParser
from shared.http.problems import MEDIA_TYPE, problem

STATIC = Path(__file__).with_name("static")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
OLD_FORM = "This form is too old, or was not made by these pages. Go back, load the page again, and try once more."
HIDDEN = Markup('<input type="hidden" name="form_token" value="{}">')
PLACE = secrets.token_hex(16)

View = Callable[..., Any]
_parser = StrictParser()


@dataclass(frozen=True, kw_only=True)
class Audited:
    """What an audit of all books found."""

    at: datetime
    violations: list[str]
    under_way: list[str]
    by_hand: list[str]
    orders: int
    last_clean: datetime | None


@dataclass
class Attached:
    """What only somebody can give who holds all of the system."""

    audit: Callable[[], Audited] | None = None
    playground: Any = None


@dataclass(frozen=True, kw_only=True)
class Room:
    """All that the pages work with: the same as the API does."""

    app: Flask
    settings: Settings
    database: Database
    clock: Clock
    show: Show
    commands: Commands
    watch: Watch
    sessions: Sessions
    activity: Activity
    counts: Counts = field(default_factory=Counts)
    attached: "Attached" = field(default_factory=lambda: Attached())

    def render_part(self, template: str, **values: Any) -> str:
        """A part of a page for many viewers, outside of any request; PLACE stands for each one's form token."""
        with self.app.app_context():
            return render_template(template, form_token=lambda: HIDDEN.format(PLACE), **values)

    def series(self) -> dict[str, Any]:
        """What the plots show, with a mark at each time when something was done to the system."""
        playground = self.attached.playground
        return self.activity.series(playground.state().marks if playground else ())

    def now(self) -> datetime:
        with self.database.reading() as connection:
            return self.clock.now(connection)

    def door(self, keys: Keys) -> Principal:
        """Who is signed in; ends the request where nobody is."""
        principal = retried(lambda: self.sessions.find(request.cookies.get(COOKIE, ""), keys))
        if principal is None:
            if request.method == "GET" and "HX-Request" not in request.headers:
                abort(redirect(f"/console/sign-in?to={request.path}", 303))
            problem(401, "You are not signed in, or were signed out meanwhile.")
        return principal

    def requires(self, *roles: Role | str) -> Callable[[View], View]:
        """Open a page to people who are signed in with one of these roles; without any, to all who are."""
        return requires(*roles, door=self.door)


class FormSchema(Schema):
    """A form of the pages. What is none of its fields, such as the token, is passed over."""

    class Meta:
        unknown = EXCLUDE


def read_form(schema: type[Schema]) -> dict[str, Any]:
    """The form that was sent; ends the request with 422 when it is not as it should be."""
    return dict(_parser.parse(schema(), request, location="form"))


def read_query(schema: type[Schema]) -> dict[str, Any]:
    return dict(_parser.parse(schema(), request, location="query"))


def who() -> Principal | None:
    principal: Principal | None = g.get("principal")
    return principal


def page(template: str, *, notice: str | None = None, now: datetime | None = None, **values: Any) -> str:
    """A whole page; `notice` is what has just been done, `now` by the clock that the times on it are of."""
    return render_template(template, principal=who(), notice=notice, now=now, **values)


def dress(pages: Blueprint, room: Room) -> None:
    """Have every page check its forms, show problems as pages, and send its security headers."""

    def check_form() -> None:
        if request.method == "POST":
            secret = request.cookies.get(COOKIE if "principal" in g else VISITOR, "")
            if not is_own_form(secret, request.form.get("form_token", "")):
                problem(403, OLD_FORM)

    def finish(response: Response) -> Response:
        if response.mimetype == MEDIA_TYPE:
            response = _as_page(response)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    def values() -> dict[str, Any]:
        principal = who()
        links = [("/console", "Board")]
        if principal and principal.is_operator:
            links.append(("/console/desk", "Desk"))
            links += [("/console/break", "Break it")] if room.attached.playground else []
        return {"pages": links, "form_token": _hidden_token, "asset": _asset}

    @pages.get("/console/static/<path:file>")
    @public
    def static(file: str) -> Response:
        return send_from_directory(STATIC, file, max_age=3600)

    @pages.get("/console/<path:elsewhere>")
    @public
    def elsewhere(elsewhere: str) -> NoReturn:
        problem(404, "There is no such page.")

    pages.before_request(check_form)
    pages.after_request(finish)
    pages.context_processor(values)


def own_token() -> tuple[bytes, bytes]:
    """What stands for the form token in what is rendered for many viewers, and this viewer's own."""
    return PLACE.encode(), form_token(request.cookies.get(COOKIE, "")).encode()


def _hidden_token() -> Markup:
    secret = request.cookies.get(COOKIE if "principal" in g else VISITOR, "") or g.get("visitor", "")
    return HIDDEN.format(form_token(secret))


def _asset(name: str) -> str:
    return f"/console/static/{name}?{int((STATIC / name).stat().st_mtime)}"


def _as_page(response: Response) -> Response:
    document = response.get_json(force=True)
    shown = Response(
        page("problem.html", title=document["title"], detail=document["detail"], status=document["status"]),
        response.status_code,
        mimetype="text/html",
    )
    for name, text in response.headers.items():
        if name.lower() not in ("content-type", "content-length"):
            shown.headers.setdefault(name, text)
    return shown
