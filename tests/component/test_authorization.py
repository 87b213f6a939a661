"""Every route of every service, by every kind of caller: the table is complete, and each cell is tried."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from order_service.web.console.sessions import VISITOR, form_token
from shared.http.serve import end
from shared.service import services
from tests.component.apps import ORDER, TOKENS, application, bearer, prepare, sign_in

SERVICES = tuple(services())
UNKNOWN = "00000000-0000-7000-8000-000000000000"
DEADLINE = {"deadline": "2030-01-01T00:00:00Z"}
PRODUCT = {"sku": "NEW-STOOL", "name": "New stool", "unit_price": 4500}
CALLERS = ("nobody", "bob", "alice", "operator")

# What a caller without a token, another customer, the order's customer and an operator get, on alice's new order.
EVERYWHERE = {
    "GET /healthz": (200, 200, 200, 200),
    "GET /readyz": (200, 200, 200, 200),
    "GET /metrics": (401, 403, 403, 200),
    "GET /openapi.json": (200, 200, 200, 200),
    "GET /asyncapi.json": (200, 200, 200, 200),
    "GET /docs": (200, 200, 200, 200),
    "GET /docs/": (200, 200, 200, 200),
    "GET /docs/<path:file>": (200, 200, 200, 200),
}
DEAD_LETTERS = {
    "GET /dead-letters": (401, 403, 403, 200),
    "GET /dead-letters/groups": (401, 403, 403, 200),
    "POST /dead-letters/replay": (401, 403, 403, 202),
    "POST /dead-letters/discard": (401, 403, 403, 200),
}
SIMULATED = {
    "GET /simulation": (401, 403, 403, 200),
    "PUT /simulation": (401, 403, 403, 200),
}


def part(name: str) -> dict[str, tuple[int, int, int, int]]:
    """What each participant tells of its part in orders."""
    return {
        f"GET /{name}/<uuid:order_id>": (401, 403, 403, 404),
        f"GET /{name}": (401, 403, 403, 200),
        f"POST /{name}/lookup": (401, 403, 403, 200),
    }


ACTION = "<any(cancel, approve, refuse):action>"
STEP_ACTION = "<any(retry, reverse, settle, deadline):action>"
LETTER_ACTION = "<any(replay, discard):act>"
TABLE = {
    "order": {
        "POST /orders": (401, 202, 202, 202),
        "GET /orders": (401, 200, 200, 200),
        "GET /orders/<uuid:order_id>": (401, 404, 200, 200),
        "GET /orders/<uuid:order_id>/history": (401, 404, 200, 200),
        "POST /orders/<uuid:order_id>/cancel": (401, 404, 202, 202),
        "POST /orders/<uuid:order_id>/approval": (401, 403, 403, 409),
        "POST /orders/<uuid:order_id>/steps/<step>/retry": (401, 403, 403, 200),
        "POST /orders/<uuid:order_id>/steps/<step>/reverse": (401, 403, 403, 409),
        "POST /orders/<uuid:order_id>/steps/<step>/settle": (401, 403, 403, 409),
        "PATCH /orders/<uuid:order_id>/steps/<step>": (401, 403, 403, 200),
        "GET /orders/<uuid:order_id>/actions": (401, 404, 200, 200),
        "GET /orders/<uuid:order_id>/explanation": (401, 404, 200, 200),
        "POST /customers/<customer_id>/forget": (401, 403, 403, 409),
        "GET /products": (401, 200, 200, 200),
        "POST /products": (401, 403, 403, 201),
        "GET /orders/<uuid:order_id>/events": (401, 404, 200, 200),
        "GET /events": (401, 403, 403, 200),
        "GET /orders/<uuid:order_id>/participants": (401, 403, 403, 200),
        "GET /": (303, 303, 303, 303),
        "GET /console": (303, 200, 200, 200),
        "GET /console/live": (303, 200, 200, 200),
        "GET /console/sign-in": (200, 200, 200, 200),
        "POST /console/sign-in": (303, 303, 303, 303),
        "POST /console/sign-out": (401, 303, 303, 303),
        "GET /console/orders/<uuid:order_id>": (303, 404, 200, 200),
        "GET /console/orders/<uuid:order_id>/live": (303, 404, 200, 200),
        "GET /console/orders/<uuid:order_id>/participants": (303, 403, 403, 200),
        f"POST /console/orders/<uuid:order_id>/{ACTION}": (401, 404, 303, 303),
        f"POST /console/orders/<uuid:order_id>/steps/<step>/{STEP_ACTION}": (401, 403, 403, 303),
        "GET /console/desk": (303, 403, 403, 200),
        "GET /console/desk/live": (303, 403, 403, 200),
        "GET /console/desk/dead-letters": (303, 403, 403, 200),
        f"POST /console/desk/dead-letters/{LETTER_ACTION}": (401, 403, 403, 303),
        "GET /console/desk/audit": (303, 403, 403, 404),
        "POST /console/bulk/ask": (401, 403, 403, 200),
        "POST /console/bulk": (401, 403, 403, 200),
        "GET /console/break": (303, 403, 403, 404),
        "GET /console/break/live": (303, 403, 403, 404),
        "POST /console/break/orders": (401, 403, 403, 404),
        "POST /console/break/parts": (401, 403, 403, 404),
        "POST /console/break/rate": (401, 403, 403, 404),
        "POST /console/break/all": (401, 403, 403, 404),
        "GET /console/static/<path:file>": (200, 200, 200, 200),
        "GET /console/<path:elsewhere>": (404, 404, 404, 404),
    },
    "payment": {**part("payments"), **SIMULATED},
    "inventory": {
        **part("reservations"),
        "GET /stock": (401, 403, 403, 200),
        "POST /stock/<sku>/receipts": (401, 403, 403, 201),
    },
    "shipping": {**part("shipments"), **SIMULATED},
}
BODIES: dict[str, dict[str, Any]] = {
    "POST /orders": ORDER,
    "POST /orders/<uuid:order_id>/approval": {"decision": "approve"},
    "POST /orders/<uuid:order_id>/steps/<step>/settle": {"note": "handed over at the counter"},
    "PATCH /orders/<uuid:order_id>/steps/<step>": DEADLINE,
    "POST /products": PRODUCT,
    "POST /stock/<sku>/receipts": {"quantity": 5},
    "PUT /simulation": {"latency_ms": 5},
    **{f"POST /{name}/lookup": {"order_ids": [UNKNOWN]} for name in ("payments", "reservations", "shipments")},
    "POST /dead-letters/replay": {"message_ids": ["none-like-this"]},
    "POST /dead-letters/discard": {"message_ids": ["none-like-this"]},
}
FORMS: dict[str, dict[str, Any]] = {
    "POST /console/bulk/ask": {"act": "approve"},
    "POST /console/bulk": {"act": "approve"},
    "POST /console/break/orders": {"fate": "plain"},
    "POST /console/break/parts": {"part": "broker", "choice": "away"},
    "POST /console/break/rate": {"rate": "5"},
    "POST /console/break/all": {"what": "mend"},
    "POST /console/sign-in": {"key": TOKENS["alice"]},
    f"POST /console/desk/dead-letters/{LETTER_ACTION}": {"service": "order", "message_id": "none-like-this"},
}
CELLS = [
    (service, route, caller, status)
    for service in SERVICES
    for route, row in {**TABLE[service], **EVERYWHERE, **DEAD_LETTERS}.items()
    for caller, status in zip(CALLERS, row, strict=True)
]


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Flask]]:
    folder: Path = tmp_path_factory.mktemp("authorization")
    urls = {service: f"sqlite:///{folder}/{service}.db" for service in SERVICES}
    for service, url in urls.items():
        prepare(service, url)
    found = {service: application(service, url) for service, url in urls.items()}
    yield found
    for app in found.values():
        end(app)


def call(app: Flask, route: str, caller: str, order_id: str) -> tuple[int, Any]:
    """Send a well-formed request to a route."""
    method, rule = route.split(" ", 1)
    for name, text in {
        "<uuid:order_id>": order_id,
        "<step>": "payment",
        "<customer_id>": "alice",
        "<sku>": "OAK-CHAIR",
        "<path:file>": "console.css" if "console" in rule else "start.js",
        ACTION: "cancel",
        LETTER_ACTION: "replay",
        STEP_ACTION: "retry",
        "<path:elsewhere>": "nowhere",
    }.items():
        rule = rule.replace(name, text)
    if rule == "/" or rule.startswith("/console"):
        return visit(app, method, rule, caller, FORMS.get(route, {})), None
    headers = {"Idempotency-Key": "first", **({} if caller == "nobody" else bearer(caller))}
    with app.test_client().open(rule, method=method, headers=headers, json=BODIES.get(route)) as response:
        return response.status_code, response.get_json(silent=True)


def visit(app: Flask, method: str, path: str, caller: str, form: dict[str, Any]) -> int:
    """The same in a browser, where a cookie says who is there and a form carries its token."""
    client = app.test_client()
    secret = "a-visitor"
    if caller == "nobody" or path == "/console/sign-in":
        client.set_cookie(VISITOR, secret)
    else:
        secret = sign_in(app, client, caller)
    data = {"form_token": form_token(secret), **form} if method == "POST" else None
    with client.open(path, method=method, data=data) as response:
        return response.status_code


def placed_by_alice(app: Flask, key: str) -> str:
    return placed(app, "alice", key)


def placed(app: Flask, caller: str, key: str) -> str:
    headers = {**bearer(caller), "Idempotency-Key": key}
    order_id: str = app.test_client().post("/orders", json=ORDER, headers=headers).json["id"]
    return order_id


@pytest.mark.parametrize("service", SERVICES)
def test_the_table_has_every_route(apps: dict[str, Flask], service: str) -> None:
    """A new route without a row here fails."""
    routes = {
        f"{method} {rule.rule}"
        for rule in apps[service].url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routes == {**TABLE[service], **EVERYWHERE, **DEAD_LETTERS}.keys()


@pytest.mark.parametrize(("service", "route", "caller", "status"), CELLS)
def test_the_caller_gets_what_the_table_says(
    apps: dict[str, Flask], service: str, route: str, caller: str, status: int
) -> None:
    """Each cell of the table."""
    order_id = placed_by_alice(apps["order"], f"{route} by {caller}".replace(" ", "-"))
    answered, document = call(apps[service], route, caller, order_id)
    assert answered == status, document


@pytest.mark.parametrize(
    ("route", "row"), [(route, row) for route, row in TABLE["order"].items() if "order_id" in route]
)
def test_an_order_that_is_not_there_looks_like_anothers(
    apps: dict[str, Flask], route: str, row: tuple[int, int, int, int]
) -> None:
    """A customer cannot tell whether an order exists, and roles are asked about before existence is."""
    order_id = placed_by_alice(apps["order"], f"{route}-missing".replace(" ", "-"))
    _, foreign = call(apps["order"], route, "bob", order_id)
    status, missing = call(apps["order"], route, "bob", UNKNOWN)
    assert status == row[1]
    assert str(foreign).replace(order_id, UNKNOWN) == str(missing)
    assert call(apps["order"], route, "operator", UNKNOWN)[0] == 404


def test_a_list_holds_own_orders_only(apps: dict[str, Flask]) -> None:
    """An operator sees all of them."""
    placed_by_alice(apps["order"], "listed")
    placed(apps["order"], "bob", "listed")

    def customers(caller: str) -> set[str]:
        _, document = call(apps["order"], "GET /orders", caller, "")
        return {order["customer_id"] for order in document["items"]}

    assert customers("alice") == {"alice"}
    assert customers("bob") == {"bob"}
    assert {"alice", "bob"} <= customers("operator")


def test_a_refused_cancellation_changes_nothing(apps: dict[str, Flask]) -> None:
    """Bob's attempt is not even in the history of alice's order."""
    order_id = placed_by_alice(apps["order"], "not-bobs")
    before = call(apps["order"], "GET /orders/<uuid:order_id>", "alice", order_id)
    assert call(apps["order"], "POST /orders/<uuid:order_id>/cancel", "bob", order_id)[0] == 404
    assert call(apps["order"], "GET /orders/<uuid:order_id>", "alice", order_id) == before


def test_two_callers_may_use_the_same_key(apps: dict[str, Flask]) -> None:
    """An Idempotency-Key is its caller's own: nobody is answered with another's order."""
    assert len({placed(apps["order"], who, "shared") for who in ("alice", "bob", "operator")}) == 3
