"""The HTTP edge, with a small API of its own behind it: who gets in, what is refused and how, what is documented."""

import json
import logging
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient
from marshmallow import fields, validate
from werkzeug.test import TestResponse

from shared.config import load
from shared.database import TransientError
from shared.http.app import BODY_LIMIT, Routes, create_app, problems, reply, unless_known
from shared.http.auth import current, public, requires
from shared.http.fields import SKU, Cursor, IdempotencyHeader, Moment, StrictSchema, Text, Whole, WholeText, cursor
from shared.http.serve import is_stopping, running

ENVIRONMENT = {"API_KEYS": "opensesame:operator,wonderland:customer:alice", "LOG_LEVEL": "DEBUG"}
OPERATOR = {"Authorization": "Bearer opensesame"}
ALICE = {"Authorization": "bearer  wonderland"}


class WishSchema(StrictSchema):
    sku = Text(64, pattern=SKU, required=True)
    quantity = Whole(1, 1000, required=True)


class ParcelSchema(StrictSchema):
    name = Text(20, required=True)
    wishes = fields.List(fields.Nested(WishSchema), required=True, validate=validate.Length(1, 100))
    until = Moment(load_default=None)


class PageSchema(StrictSchema):
    limit = WholeText(1, 200, load_default=50)
    cursor = Cursor(r"[0-9]{1,9}", load_default=None)


def parcels() -> Routes:
    routes = Routes("parcels", "What this test sends.")

    @routes.route("/parcels", methods=["POST"])
    @requires("operator")
    @problems(409)
    @routes.arguments(ParcelSchema)
    @routes.arguments(IdempotencyHeader, location="headers")
    @routes.response(202, ParcelSchema)
    def send(body: dict[str, Any], headers: dict[str, str]) -> Response:
        """Send a parcel."""
        if body["name"] == "bomb":
            raise RuntimeError("secret of the bomb")
        if body["name"] == "flood":
            raise TransientError("server closed the connection")
        return reply({**body, "key": headers["key"]}, 202, Retry_After="1")

    @routes.route("/parcels")
    @requires()
    @routes.arguments(PageSchema, location="query")
    @routes.response(200)
    def parcels(page: dict[str, Any]) -> Response:
        return reply({"items": [], "next": cursor("42"), "by": current().name, **page})

    @routes.route("/parcels/<uuid:parcel_id>")
    @requires("customer", "operator")
    @routes.response(200)
    def parcel(parcel_id: Any) -> Response:
        return unless_known(7, lambda: reply({"id": parcel_id, "at": datetime(2026, 11, 21, 9, 30, tzinfo=UTC)}))

    @routes.route("/forgotten")
    def forgotten() -> Response:
        return reply("nobody said who may see this")

    @routes.route("/open")
    @public
    def window() -> Response:
        return reply("open")

    return routes


@pytest.fixture
def broken() -> list[str]:
    """What /readyz finds broken."""
    return []


@pytest.fixture
def app(broken: list[str]) -> Flask:
    def check() -> None:
        if broken:
            raise ConnectionError("no route to 10.0.0.7")

    settings = load(service="order", environ=ENVIRONMENT)
    return create_app(settings, title="Parcels", description="…", routes=[parcels()], ready={"database": check})


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def parcel(**changes: Any) -> dict[str, Any]:
    return {"name": "Alice", "wishes": [{"sku": "POPULAR-LAMP", "quantity": 1}], **changes}


def send(client: FlaskClient, body: Any = None, **more: Any) -> TestResponse:
    headers = {**OPERATOR, "Idempotency-Key": "first", **more.pop("headers", {})}
    if isinstance(body, str | bytes):
        more = {"data": body, "content_type": "application/json", **more}
    else:
        more["json"] = parcel() if body is None else body
    return client.post("/parcels", headers=headers, **more)


def refusal(response: TestResponse, status: int) -> dict[str, Any]:
    """The problem in a response, which must be a proper one of this status."""
    assert response.status_code == status, response.text
    assert response.mimetype == "application/problem+json"
    problem: dict[str, Any] = json.loads(response.text)
    assert problem["status"] == status
    assert {"type", "title", "detail", "instance"} <= problem.keys()
    return problem


def pointers(response: TestResponse) -> set[str]:
    return {error["pointer"] for error in refusal(response, 422)["errors"]}


# Who gets in


def test_a_known_token_of_the_right_role_gets_in(client: FlaskClient) -> None:
    """The scheme's case and spaces before the token do not matter."""
    assert client.get("/parcels", headers=ALICE).json["by"] == "alice"
    assert client.get("/parcels", headers=OPERATOR).json["by"] == "operator"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer nobody", "Basic b3BlbnNlc2FtZTo=", "opensesame"])
def test_without_a_known_token_it_is_401_with_a_challenge(client: FlaskClient, header: str | None) -> None:
    """Whoever cannot say who they are is told how to."""
    response = client.get("/parcels", headers={} if header is None else {"Authorization": header})
    refusal(response, 401)
    assert response.headers["WWW-Authenticate"].startswith("Bearer ")


def test_another_role_is_403_before_the_request_is_looked_at(client: FlaskClient) -> None:
    """Authorization comes before state and before validation."""
    refusal(client.post("/parcels", headers=ALICE, data="{", content_type="text/plain"), 403)


def test_a_view_that_names_no_role_is_open_to_nobody(client: FlaskClient) -> None:
    """Forgetting who may call fails closed."""
    refusal(client.get("/forgotten", headers=OPERATOR), 403)
    refusal(client.get("/forgotten"), 401)
    assert client.get("/open").status_code == 200


def test_an_api_without_keys_is_not_built() -> None:
    """Nobody could call it."""
    with pytest.raises(ValueError, match="API_KEYS"):
        create_app(load(service="order", environ={}), title="x", description="x", routes=[], ready={})


# What is refused, and how


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/name"),
        (parcel(name=""), "/name"),
        (parcel(name="x" * 21), "/name"),
        (parcel(name=7), "/name"),
        (parcel(name=None), "/name"),
        (parcel(name="Al\0ice"), "/name"),
        ('{"name": "\\ud800", "wishes": [{"sku": "A", "quantity": 1}]}', "/name"),
        (parcel(surprise=1), "/surprise"),
        (parcel(**{"a/b~c": 1}), "/a~1b~0c"),
        (parcel(wishes=[]), "/wishes"),
        (parcel(wishes={}), "/wishes"),
        (parcel(wishes=[{"sku": "A", "quantity": 1}] * 101), "/wishes"),
        (parcel(wishes=[{"sku": "A", "quantity": 1}, {"sku": "A", "quantity": 0}]), "/wishes/1/quantity"),
        (parcel(wishes=[{"sku": "A", "quantity": 1001}]), "/wishes/0/quantity"),
        (parcel(wishes=[{"sku": "A", "quantity": 2.5}]), "/wishes/0/quantity"),
        (parcel(wishes=[{"sku": "A", "quantity": "2"}]), "/wishes/0/quantity"),
        (parcel(wishes=[{"sku": "A", "quantity": True}]), "/wishes/0/quantity"),
        ('{"name": "x", "wishes": [{"sku": "A", "quantity": 1e400}]}', "/wishes/0/quantity"),
        (parcel(wishes=[{"sku": "a b", "quantity": 1}]), "/wishes/0/sku"),
        (parcel(wishes=[{"sku": "A\n", "quantity": 1}]), "/wishes/0/sku"),
        (parcel(wishes=["POPULAR-LAMP"]), "/wishes/0"),
        (parcel(until="tomorrow"), "/until"),
        (parcel(until="2026-11-21T09:30:00"), "/until"),
        (parcel(until="2026-W47-6T09:30:00Z"), "/until"),
        (parcel(until="9999-12-31T23:59:59-12:00"), "/until"),
        ([], ""),
        ("7", ""),
    ],
)
def test_a_wrong_field_is_422_and_pointed_at(client: FlaskClient, body: Any, pointer: str) -> None:
    """The problem's errors hold a JSON pointer to the field, and its detail names it, too."""
    response = send(client, body)
    assert pointer in pointers(response)
    assert pointer in response.json["detail"]


@pytest.mark.parametrize(
    "body",
    ["", "{", "nonsense", "{'a': 1}", '{"name": NaN}', '{"a": 1, "a": 2}', "[" * 60_000, b"\xff\xfe", "1" * 5_000],
)
def test_what_is_no_json_is_400(client: FlaskClient, body: str | bytes) -> None:
    """Also constants that JSON does not have, names given twice, and nesting meant to exhaust the parser."""
    assert "not valid JSON" in refusal(send(client, body), 400)["detail"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data"])
def test_another_content_type_is_415(client: FlaskClient, content_type: str) -> None:
    """A body counts as JSON only when it says so."""
    refusal(send(client, json.dumps(parcel()), content_type=content_type), 415)


def test_a_body_over_64_kib_is_413(client: FlaskClient) -> None:
    """One byte more than the limit is too much, whether its length is announced or not."""
    fits = json.dumps(parcel()).ljust(BODY_LIMIT)
    assert send(client, fits).status_code == 202
    refusal(send(client, fits + " "), 413)


@pytest.mark.parametrize(
    "key", [None, "", '""', "x" * 129, f'"{"x" * 129}"', "two words", 'qu"ote', "\x7f", "schlüssel"]
)
def test_a_missing_or_malformed_idempotency_key_is_400(client: FlaskClient, key: str | None) -> None:
    """A POST that cannot be repeated safely is not accepted."""
    headers = {} if key is None else {"Idempotency-Key": key}
    response = client.post("/parcels", json=parcel(), headers={**OPERATOR, **headers})
    assert refusal(response, 400)["errors"][0]["parameter"] == "Idempotency-Key"


def test_an_idempotency_key_may_be_quoted_or_bare(client: FlaskClient) -> None:
    """Both are the same key."""
    keys = [send(client, headers={"Idempotency-Key": key}).json["key"] for key in ('"abc-1"', "abc-1", "x" * 128)]
    assert keys == ["abc-1", "abc-1", "x" * 128]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=1_0", "limit"),
        ("limit=", "limit"),
        ("cursor=", "cursor"),
        ("cursor=!!", "cursor"),
        ("cursor=%00", "cursor"),
        (f"cursor={cursor('x')}", "cursor"),
        (f"cursor={cursor('1')}=", "cursor"),
        ("lmit=1", "lmit"),
    ],
)
def test_a_wrong_query_parameter_is_422_and_named(client: FlaskClient, query: str, parameter: str) -> None:
    """Also one that nobody knows, because it is a misspelling of one that somebody meant."""
    response = client.get(f"/parcels?{query}", headers=ALICE)
    assert refusal(response, 422)["errors"][0]["parameter"] == parameter


def test_a_cursor_leads_on_from_where_the_list_ended(client: FlaskClient) -> None:
    """What a list gives out it understands."""
    following = client.get("/parcels", headers=ALICE).json["next"]
    assert client.get(f"/parcels?limit=200&cursor={following}", headers=ALICE).json["cursor"] == "42"


def test_unknown_paths_and_methods_are_problems_too(client: FlaskClient) -> None:
    """404 and 405 need no token, and 405 says what is allowed."""
    refusal(client.get("/parcels/7"), 404)
    assert refusal(client.get("/nowhere"), 404)["detail"] == "Nothing is to be found at this address."
    for method in ("PUT", "DELETE", "TRACE", "OPTIONS"):
        response = client.open("/parcels", method=method)
        refusal(response, 405)
        assert "POST" in response.headers["Allow"]


def test_a_bug_is_500_without_its_story(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """What went wrong goes to the log and not to the caller."""
    response = send(client, parcel(name="bomb"))
    refusal(response, 500)
    assert "secret" not in response.text
    assert "secret of the bomb" in caplog.text


def test_an_absent_database_is_503_with_a_time_to_come_back(client: FlaskClient) -> None:
    """Weather is not the caller's fault, and not a bug."""
    response = send(client, parcel(name="flood"))
    assert "secret" not in response.text
    refusal(response, 503)
    assert int(response.headers["Retry-After"]) > 0


# What every answer has


def test_every_answer_has_secure_headers(client: FlaskClient) -> None:
    """Also refusals: no sniffing, no framing, no scripts, no caching."""
    for response in (client.get("/healthz"), client.get("/nowhere"), send(client)):
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert response.headers["Cache-Control"] == "no-store"


def test_times_are_in_utc_with_a_z(client: FlaskClient) -> None:
    """Whatever the offset of a time that came in."""
    sent = send(client, parcel(until="2026-11-21T10:30:00.5+01:00"))
    assert sent.json["until"] == "2026-11-21T09:30:00.500000Z"


def test_a_version_makes_an_etag(client: FlaskClient) -> None:
    """Who has this version already is spared its body."""
    path = "/parcels/0192e4c1-0000-7000-8000-000000000000"
    first = client.get(path, headers=ALICE)
    assert first.json["at"] == "2026-11-21T09:30:00Z"
    again = client.get(path, headers={**ALICE, "If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.text) == (304, "")
    assert client.get(path, headers={**ALICE, "If-None-Match": 'W/"6"'}).status_code == 200


def test_requests_are_logged_without_token_query_or_body(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """Method, path, status, time and name."""
    caplog.set_level(logging.INFO)
    client.get("/parcels?limit=7", headers=ALICE)
    send(client)
    assert "GET /parcels 200" in caplog.text
    assert "by customer:alice from 127.0.0.1" in caplog.text
    assert not any(word in caplog.text for word in ("wonderland", "opensesame", "limit", "POPULAR-LAMP"))


# Health and documentation


def test_health_needs_no_token(client: FlaskClient, broken: list[str]) -> None:
    """/healthz says that the process lives, /readyz whether it can work, and neither tells strangers why not."""
    assert client.get("/healthz").json == {"status": "ok"}
    assert client.get("/readyz").json == {"status": "ready", "checks": {"database": "ok"}}
    broken.append("database")
    response = client.get("/readyz")
    assert "database" in refusal(response, 503)["detail"]
    assert "10.0.0.7" not in response.text
    assert client.get("/healthz").status_code == 200


def test_the_documentation_tells_roles_problems_and_bounds(client: FlaskClient) -> None:
    """/openapi.json is OpenAPI 3.1 and knows the errors as problems."""
    document = client.get("/openapi.json").json
    post = document["paths"]["/parcels"]["post"]
    assert document["openapi"] == "3.1.0"
    assert post["security"] == [{"bearer": []}]
    assert document["paths"]["/open"]["get"]["security"] == []
    assert {"202", "400", "401", "403", "409", "413", "415", "422"} <= post["responses"].keys()
    assert [*document["components"]["responses"]["CONFLICT"]["content"]] == ["application/problem+json"]
    quantity = document["components"]["schemas"]["Wish"]["properties"]["quantity"]
    assert quantity == {"type": "integer", "minimum": 1, "maximum": 1000}


def test_the_docs_need_no_internet(client: FlaskClient) -> None:
    """All that the page loads comes from here, and nothing else may be loaded."""
    with client.get("/docs") as page:
        text = page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert "//" not in text
    for name in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js", "favicon-32x32.png"):
        assert f"/docs/{name}" in text
        with client.get(f"/docs/{name}") as part:
            assert part.status_code == 200
    refusal(client.get("/docs/../app.py"), 404)
    refusal(client.get("/docs/%2e%2e/app.py"), 404)


# Serving


def test_an_application_is_served_by_threads_and_told_to_stop(app: Flask) -> None:
    """`running` finds a free port, answers there, and lets long answers know of the end."""
    with running(app) as url, urllib.request.urlopen(f"{url}/healthz", timeout=5) as response:
        assert response.status == 200
        assert not is_stopping(app)
    assert is_stopping(app)


def test_moments_before_and_after_are_distinct() -> None:
    """Reading a moment keeps its microseconds."""
    read = Moment().deserialize("2026-11-21T09:30:00.000001Z")
    assert read - datetime(2026, 11, 21, 9, 30, tzinfo=UTC) == timedelta(microseconds=1)
