"""Authentication and authorization of every HTTP call, before anything else is looked at."""

import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from flask import Flask, g, request

from shared.api_keys import Keys, Principal, Role
from shared.clock import today
from shared.config import Settings
from shared.http.problems import problem
from shared.http.rates import Rate, Share

View = TypeVar("View", bound=Callable[..., Any])
Door = Callable[[Keys], Principal]  # says who is calling, or ends the request

HEAVY_AT_A_TIME = 3  # lists and the like, for each caller

PUBLIC: frozenset[Role] = frozenset()


def requires(*roles: Role | str, door: Door | None = None, heavy: bool = False) -> Callable[[View], View]:
    """Open a view to callers with one of these roles. A view without this or `public` is open to nobody.

    They are known by their bearer token, or by what else `door` looks at. Of `heavy` views, which take the processor
    for long, one caller has few at a time.
    """
    allowed = frozenset(Role(role) for role in roles) or frozenset(Role)

    return lambda view: _open(view, allowed, door, heavy)


def public(view: View) -> View:
    """Open a view to everybody, without a token."""
    return _open(view, PUBLIC)


def _open(view: View, roles: frozenset[Role], door: Door | None = None, heavy: bool = False) -> View:
    documentation = {**getattr(view, "_apidoc", {}), "roles": sorted(roles), "operation": view.__name__}
    view.__dict__.update(roles=roles, door=door, heavy=heavy, _apidoc=documentation)
    return view


def roles_of(app: Flask, endpoint: str) -> frozenset[Role] | None:
    """Who may call a view: roles, PUBLIC for everybody, None for nobody (the marker is missing)."""
    roles: frozenset[Role] | None = getattr(app.view_functions[endpoint], "roles", None)
    return roles


def current() -> Principal:
    """Who is calling, inside a view that is not public."""
    principal: Principal = g.principal
    return principal


def guard(app: Flask, settings: Settings) -> None:
    """Let every request to `app` pass only with a token whose role its view was opened to, and within its limits.

    Answers 401 without a known token, 403 for another role, 429 beyond the limits; unknown paths and methods stay 404
    and 405. A right token passes however many wrong ones came from its address.
    """
    keys = settings.api_keys
    rate = Rate(settings.key_rate, 2 * settings.key_rate)
    wrong = Rate(settings.wrong_tokens / 60, max(1, settings.wrong_tokens))
    limited = settings.key_share < 100
    share = Share(max(1, settings.web_threads * settings.key_share // 100) if limited else sys.maxsize)
    heavy_share = Share(HEAVY_AT_A_TIME if limited else sys.maxsize)

    def authorize() -> None:
        if request.endpoint is None or (roles := roles_of(app, request.endpoint)) is PUBLIC:
            return
        view = app.view_functions[request.endpoint]
        door: Door = getattr(view, "door", None) or _bearer(wrong)
        who = g.principal = door(keys)
        if wait := rate.take(who.id):
            problem(429, f"More than {settings.key_rate} requests a second.", headers={"Retry-After": str(wait)})
        g.held = []
        for each in (share, heavy_share) if getattr(view, "heavy", False) else (share,):
            if not each.take(who.id):
                problem(429, "Too many requests at a time.", headers={"Retry-After": "1"})
            g.held.append((each, who.id))
        if roles is None or who.role not in roles:
            problem(403, f"This needs the role {' or '.join(sorted(roles or {'nobody'}))}.")

    def leave(error: BaseException | None) -> None:
        for each, holder in g.pop("held", ()):
            each.give_back(holder)

    app.before_request(authorize)
    app.teardown_request(leave)


def _bearer(wrong: Rate) -> Door:
    def find(keys: Keys) -> Principal:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            problem(401, "A bearer token is needed.", headers={"WWW-Authenticate": 'Bearer realm="fulfillment"'})
        principal = keys.find(token.strip(), today())
        if principal is None:
            _refuse(wrong)
        return principal

    return find


def _refuse(wrong: Rate) -> NoReturn:
    if wait := wrong.take(request.remote_addr or "?"):
        detail = "Too many wrong tokens came from this address."
        problem(429, detail, kind="too-many-wrong-tokens", headers={"Retry-After": str(wait)})
    challenge = 'Bearer realm="fulfillment", error="invalid_token"'
    problem(401, "This bearer token is not known.", kind="unknown-token", headers={"WWW-Authenticate": challenge})
