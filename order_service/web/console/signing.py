"""Signing in with an API key, or with an invitation, and out again."""

import secrets
from urllib.parse import urlsplit

from flask import Blueprint, Response, g, make_response, redirect, request
from marshmallow import fields, validate
from werkzeug.wrappers import Response as Answer

from order_service.web.console.pages import FormSchema, Room, page, read_form, read_query
from order_service.web.console.sessions import COOKIE, VISITOR, set_cookie
from shared.api_keys import Keys
from shared.http.auth import public
from shared.http.fields import Text


class SignInSchema(FormSchema):
    key = Text(500, required=True)
    to = fields.String(load_default="/console", validate=validate.Length(max=500))


class InvitedSchema(FormSchema):
    word = Text(100, load_default="")
    to = fields.String(load_default="/console", validate=validate.Length(max=500))


def add_signing(pages: Blueprint, room: Room) -> None:
    keys: Keys = room.settings.api_keys

    @pages.get("/console/sign-in")
    @public
    def sign_in() -> Answer:
        """The form; with a word that was given out for it, no form is needed."""
        query = read_query(InvitedSchema)
        if query["word"] and (cookie := room.sessions.accept(query["word"], keys)):
            return _enter(cookie, query["to"])
        wrong = "This link was used before. Sign in with an API key." if query["word"] else ""
        return _form(query["to"], wrong, 403 if wrong else 200)

    @pages.post("/console/sign-in")
    @public
    def signed_in() -> Answer:
        form = read_form(SignInSchema)
        cookie = room.sessions.begin(form["key"], keys)
        if cookie is None:
            return _form(form["to"], "This key is not known here.", 401)
        return _enter(cookie, form["to"])

    @pages.post("/console/sign-out")
    @room.requires()
    def sign_out() -> Answer:
        room.sessions.end(request.cookies[COOKIE])
        answer = redirect("/console/sign-in", 303)
        answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="Strict", secure=request.is_secure)
        return answer


def _form(to: str, wrong: str, status: int) -> Response:
    g.visitor = request.cookies.get(VISITOR) or secrets.token_urlsafe(16)
    answer = make_response(page("sign_in.html", to=_here(to), wrong=wrong), status)
    set_cookie(answer, VISITOR, g.visitor, lasts=None)
    return answer


def _enter(cookie: str, to: str) -> Answer:
    answer = redirect(_here(to), 303)
    set_cookie(answer, COOKIE, cookie)  # type: ignore[arg-type]  # werkzeug's own kind of response
    return answer


def _here(to: str) -> str:
    """A page of the console: whoever signs in is not sent elsewhere."""
    parts = urlsplit(to)
    inside = not parts.scheme and not parts.netloc and to.startswith("/console") and "\\" not in to
    return parts.path if inside else "/console"
