"""Authentication and authorization of every HTTP call, before anything else is looked at."""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, g, request

from shared.api_keys import Keys, Principal, Role
from shared.http.problems import problem

View = TypeVar("View", bound=Callable[..., Any])
Door = Callable[[Keys], Principal]  # says who is calling, or ends the request

PUBLIC: frozenset[Role] = frozenset()


def requires(*roles: Role | str, door: Door | None = None) -> Callable[[View], View]:
    """Open a view to callers with one of these roles. A view without this or `public` is open to nobody.

    They are known by their bearer token, or by what else `door` looks at.
    """
    allowed = frozenset(Role(role) for role in roles) or frozenset(Role)

    return lambda view: _open(view, allowed, door)


def public(view: View) -> View:
    """Open a view to everybody, without a token."""
    return _open(view, PUBLIC)


def _open(view: View, roles: frozenset[Role], door: Door | None = None) -> View:
    documentation = {**getattr(view, "_apidoc", {}), "roles": sorted(roles)}
    view.__dict__.update(roles=roles, door=door, _apidoc=documentation)
    return view


def roles_of(app: Flask, endpoint: str) -> frozenset[Role] | None:
    """Who may call a view: roles, PUBLIC for everybody, None for nobody (the marker is missing)."""
    roles: frozenset[Role] | None = getattr(app.view_functions[endpoint], "roles", None)
    return roles


def current() -> Principal:
    """Who is calling, inside a view that is not public."""
    principal: Principal = g.principal
    return principal


def guard(app: Flask, keys: Keys) -> None:
    """Let every request to `app` pass only with a token whose role its view was opened to.

    Answers 401 without a known token, 403 for another role; unknown paths and methods stay 404 and 405.
    """

    def authorize() -> None:
        if request.endpoint is None or (roles := roles_of(app, request.endpoint)) is PUBLIC:
            return
        door: Door = getattr(app.view_functions[request.endpoint], "door", None) or _bearer
        g.principal = door(keys)
        if roles is None or g.principal.role not in roles:
            problem(403, f"This needs the role {' or '.join(sorted(roles or {'nobody'}))}.")

    app.before_request(authorize)


def _bearer(keys: Keys) -> Principal:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        problem(401, "A bearer token is needed.", headers={"WWW-Authenticate": 'Bearer realm="fulfillment"'})
    principal = keys.find(token.strip())
    if principal is None:
        challenge = 'Bearer realm="fulfillment", error="invalid_token"'
        problem(401, "This bearer token is not known.", kind="unknown-token", headers={"WWW-Authenticate": challenge})
    return principal
