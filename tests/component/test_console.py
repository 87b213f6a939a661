"""The console over HTTP: sessions, forms, bad input, and what is shown to whom."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from order_service.tables import TABLES, console_sessions
from order_service.web.console.sessions import COOKIE, LASTS, VISITOR, form_token
from shared.clock import DatabaseClock
from shared.http.serve import end
from tests.component.apps import KEYS, ORDER, TOKENS, application, bearer, prepare, sign_in

UNKNOWN = "00000000-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('console')}/order.db"
    prepare("order", url)
    return url


@pytest.fixture(scope="module")
def app(url: str) -> Iterator[Flask]:
    app = application("order", url)
    yield app
    end(app)


@pytest.fixture
def operator(app: Flask) -> FlaskClient:
    return signed_in(app, "operator")


def signed_in(app: Flask, name: str) -> FlaskClient:
    client = app.test_client()
    sign_in(app, client, name)
    return client


def placed(app: Flask, name: str = "alice", **changes: object) -> str:
    headers = {**bearer(name), "Idempotency-Key": str(uuid4())}
    order_id: str = app.test_client().post("/orders", json={**ORDER, **changes}, headers=headers).json["id"]
    return order_id


def token_of(client: FlaskClient) -> str:
    cookie = client.get_cookie(COOKIE)
    assert cookie
    return form_token(cookie.value)


def test_a_session_is_known_to_every_web_process(app: Flask, url: str, operator: FlaskClient) -> None:
    """It is in the database: another process lets the same cookie in."""
    other = application("order", url)
    client = other.test_client()
    client.set_cookie(COOKIE, operator.get_cookie(COOKIE).value)
    assert client.get("/console").status_code == 200
    end(other)


def test_neither_key_nor_cookie_is_kept(app: Flask, url: str) -> None:
    """Whoever reads the database can sign in with nothing in it."""
    client = signed_in(app, "alice")
    content = (
        Path(url.removeprefix("sqlite:///")).read_bytes() + Path(f"{url.removeprefix('sqlite:///')}-wal").read_bytes()
    )
    assert client.get_cookie(COOKIE).value.encode() not in content
    assert TOKENS["alice"].encode() not in content


def test_a_session_ends_with_its_key(app: Flask, url: str) -> None:
    """When the key is no longer configured, or means somebody else, its sessions are over at once."""
    client = signed_in(app, "alice")
    other = application("order", url, API_KEYS=KEYS.replace(TOKENS["alice"], "another"))
    stranger = other.test_client()
    stranger.set_cookie(COOKIE, client.get_cookie(COOKIE).value)
    assert stranger.get("/console").status_code == 303
    assert client.get("/console").status_code == 200
    end(other)


def test_a_session_lasts_twelve_hours(app: Flask) -> None:
    """A moment before it is known, a moment later it is not."""
    client, database = signed_in(app, "alice"), app.extensions["console"].database
    for left, status in ((timedelta(minutes=1), 200), (timedelta(minutes=-1), 303)):
        with database.transaction() as connection:
            now = DatabaseClock().now(connection)
            connection.execute(update(console_sessions).values(expires_at=now + left))
        assert client.get("/console").status_code == status
    assert timedelta(hours=12) == LASTS


def test_the_cookie_is_for_this_site_and_no_script(app: Flask) -> None:
    """HttpOnly and SameSite=Strict always, Secure where there is TLS."""
    for scheme, secure in (("http", False), ("https", True)):
        client = app.test_client()
        client.set_cookie(VISITOR, "v")
        form = {"key": TOKENS["alice"], "form_token": form_token("v")}
        answer = client.post("/console/sign-in", data=form, base_url=f"{scheme}://localhost")
        (cookie,) = [each for each in answer.headers.getlist("Set-Cookie") if each.startswith(COOKIE)]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert ("Secure" in cookie) is secure


@pytest.mark.parametrize("cookie", ["", "forged", "a" * 4000, "ü", "\x01"])
def test_a_forged_cookie_is_nobodys(app: Flask, cookie: str) -> None:
    """It leads to the form for signing in, as having none does."""
    answer = app.test_client().get("/console", headers={"Cookie": f"{COOKIE}={cookie}"})
    assert (answer.status_code, answer.location) == (303, "/console/sign-in?to=/console")


@pytest.mark.parametrize(
    "to", ["https://evil.example/", "//evil.example", "/\\evil.example", "/orders", "javascript:x"]
)
def test_signing_in_leads_nowhere_else(app: Flask, to: str) -> None:
    """Whatever a link says, it ends on a page of the console."""
    client = app.test_client()
    client.set_cookie(VISITOR, "v")
    form = {"key": TOKENS["alice"], "to": to, "form_token": form_token("v")}
    assert client.post("/console/sign-in", data=form).location == "/console"


@pytest.mark.parametrize("token", [None, "", "forged", "ü", "another's"])
def test_a_form_without_its_token_does_nothing(app: Flask, token: str | None) -> None:
    """403 with a page that says why; the order is as it was."""
    client, order_id = signed_in(app, "alice"), placed(app)
    if token == "another's":
        token = token_of(signed_in(app, "alice"))
    answer = client.post(f"/console/orders/{order_id}/cancel", data={} if token is None else {"form_token": token})
    assert answer.status_code == 403
    assert "too old" in answer.text
    assert client.get(f"/orders/{order_id}", headers=bearer("alice")).json["status"] == "pending"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/console?cursor=nonsense", 422),
        ("/console?status=lost", 422),
        ("/console?reason=x", 422),
        ("/console?id=not-hexadecimal!", 422),
        (f"/console?id={'a' * 5000}", 422),
        (f"/console?customer={'a' * 60_000}", 422),
        ("/console?sku=%00", 422),
        ("/console?since=yesterday", 422),
        ("/console/orders/not-an-id", 404),
        (f"/console/orders/{UNKNOWN}", 404),
        (f"/console/orders/{UNKNOWN}/live", 404),
        (f"/console/orders/{UNKNOWN}/participants", 404),
        ("/console/nowhere", 404),
        ("/console/static/../sessions.py", 404),
    ],
)
def test_bad_input_gets_a_page_that_says_so(operator: FlaskClient, path: str, status: int) -> None:
    """A clear page with the status of the problem, never a fault."""
    answer = operator.get(path)
    assert answer.status_code == status
    assert answer.mimetype == "text/html"
    assert "<h1>" in answer.text


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        ("cancel", {"note": "x" * 501}, 422),
        ("steps/payment/deadline", {"minutes": "soon"}, 422),
        ("steps/payment/deadline", {}, 409),
        ("steps/payment/settle", {}, 422),
        ("steps/payment/settle", {"note": "seen to"}, 409),
        ("steps/no-such-step/retry", {}, 404),
        ("steps/issue/retry", {}, 409),
        ("approve", {}, 409),
        ("cancel", {"note": "x" * 70_000}, 413),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_reason(
    app: Flask, operator: FlaskClient, path: str, form: dict[str, str], status: int
) -> None:
    """A page that says why, and an order that is as it was."""
    order_id = placed(app)
    answer = operator.post(f"/console/orders/{order_id}/{path}", data={"form_token": token_of(operator), **form})
    assert answer.status_code == status
    assert answer.mimetype == "text/html"
    order = operator.get(f"/orders/{order_id}", headers=bearer("alice")).json
    assert (order["status"], order["version"]) == ("pending", 1)


def test_a_script_in_a_name_stays_text(app: Flask, operator: FlaskClient) -> None:
    """What strangers wrote is shown, never run."""
    script = "<script>alert(1)</script>"
    order_id = placed(app, ship_to={**ORDER["ship_to"], "name": script})  # type: ignore[dict-item]
    form = {"form_token": token_of(operator), "note": script}
    operator.post(f"/console/orders/{order_id}/cancel", data=form)
    shown = operator.get(f"/console/orders/{order_id}").text
    assert script not in shown
    assert shown.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 3


def test_no_page_lets_a_stranger_in(app: Flask, operator: FlaskClient) -> None:
    """The policy allows nothing inline and nothing from elsewhere."""
    for path in ("/console", "/console/sign-in", "/console/nowhere", "/console/static/console.css"):
        with operator.get(path) as answer:
            policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy


def test_filters_find_what_they_say(app: Flask, operator: FlaskClient) -> None:
    """By the beginning of the id, the customer, the product, the time."""
    order_id = placed(app, "bob", lines=[{"sku": "TEA-TOWEL", "quantity": 3}])
    other = placed(app, "alice")

    def shown(query: str) -> set[str]:
        text = operator.get(f"/console?{query}").text
        return {each for each in (order_id, other) if each in text}

    assert shown("") == {order_id, other}
    assert shown("customer=bob") == {order_id}
    assert shown("sku=TEA-TOWEL") == {order_id}
    assert shown(f"id={order_id[:30]}&customer=bob") == {order_id}
    assert shown(f"id={order_id}") == {order_id}
    assert shown("until=2020-01-01T00:00:00Z") == set()
    assert shown("since=2020-01-01T00:00:00Z") == {order_id, other}
    assert shown("until=2020-01-01T00:00") == set()
    assert shown("since=2020-01-01T00:00&until=2100-01-01T00:00:30") == {order_id, other}


def test_a_bulk_act_says_how_many_and_does_it_to_all_that_match(app: Flask, operator: FlaskClient) -> None:
    """All of the filter, not only the page; what had moved is left alone, and another customer's orders, too."""
    mine = [placed(app, "bob", lines=[{"sku": "DESK-PLANT", "quantity": 1}]) for _ in range(30)]
    other = placed(app, "alice", lines=[{"sku": "DESK-PLANT", "quantity": 1}])
    form = {"form_token": token_of(operator), "act": "cancel", "customer": "bob", "sku": "DESK-PLANT"}
    assert "Cancel: 30 orders" in operator.post("/console/bulk/ask", data=form).text
    app.test_client().post(f"/orders/{mine[0]}/cancel", headers=bearer("bob"))
    done = operator.post("/console/bulk", data={**form, "note": "a bad batch"}).text
    assert "29 orders were told" in done
    read = {each: operator.get(f"/orders/{each}", headers=bearer("operator")).json["reason"] for each in (*mine, other)}
    assert read == {mine[0]: "customer_request", **dict.fromkeys(mine[1:], "operator_request"), other: None}


@pytest.mark.parametrize("act", ["", "delete", "cancel; drop"])
def test_a_bulk_act_that_there_is_not_is_refused(operator: FlaskClient, act: str) -> None:
    """422, and nothing is done."""
    form = {"form_token": token_of(operator), "act": act}
    assert operator.post("/console/bulk", data=form).status_code == 422


def bury(app: Flask, *letters: tuple[str, str, str]) -> None:
    """Put dead letters down: id, reason and type of each."""
    with app.extensions["console"].database.transaction() as connection:
        now = DatabaseClock().now(connection)
        row = {
            "state": "parked",
            "version": 1,
            "producer": "payment",
            "digest": "",
            "size": 13,
            "correlation_id": UNKNOWN,
            "causation_id": None,
            "occurred_at": now,
            "traceparent": None,
            "content_type": "application/json",
            "body": b'{"amount": 5}',
            "drops": 0,
            "received_at": now,
        }
        names = ("message_id", "reason", "type")
        rows = [{**row, **dict(zip(names, letter, strict=True))} for letter in letters]
        connection.execute(TABLES.dead_letters.table.insert(), rows)


def in_state(operator: FlaskClient, state: str) -> list[str]:
    shown = operator.get(f"/dead-letters?state={state}", headers=bearer("operator")).json["items"]
    return [each["message_id"] for each in shown]


def test_dead_letters_are_shown_and_replayed_or_given_up(app: Flask, operator: FlaskClient) -> None:
    """Grouped by reason, with envelope and body; what was chosen is asked to be worked again, or kept and let be."""
    bury(
        app,
        *((name, "unknown_order: <b>nobody's</b>", "payment.captured") for name in ("a-letter", "another-letter")),
    )
    database = app.extensions["console"].database
    with database.transaction() as connection:
        count = {"producer": "payment", "kind": "malformed", "letters": 1007, "not_kept": 7}
        connection.execute(
            TABLES.dead_letters.ceilings.table.insert(), {"hour": DatabaseClock().now(connection), **count}
        )
    part = operator.get("/console/desk/dead-letters").text
    assert "order: unknown order (2 × payment.captured)" in part
    assert "&lt;b&gt;nobody" in part
    assert "{&#34;amount&#34;: 5}" in part
    assert "7 were only counted" in part
    form = {"form_token": token_of(operator), "service": "order", "message_id": "a-letter"}
    assert operator.post("/console/desk/dead-letters/replay", data=form).location == "/console/desk?act=replay&count=1"
    form["message_id"] = "another-letter"
    answer = operator.post("/console/desk/dead-letters/discard", data=form)
    assert "1 dead letters were given up" in operator.get(answer.location).text

    (uncounted,) = operator.get("/dead-letters", headers=bearer("operator")).json["not_kept"]
    assert (uncounted["producer"], uncounted["kind"], uncounted["not_kept"]) == ("payment", "malformed", 7)
    assert {state: in_state(operator, state) for state in ("parked", "replaying", "discarded")} == {
        "parked": [],
        "replaying": ["a-letter"],
        "discarded": ["another-letter"],
    }


def test_dead_letters_are_replayed_and_given_up_by_what_they_have_in_common(app: Flask, operator: FlaskClient) -> None:
    """All of a kind and type, however many; others with a longer name of their kind are none of them."""
    alike = [f"alike-{number:02}" for number in range(60)]
    bury(
        app,
        *((name, "data_error: too long", "payment.captured") for name in alike),
        ("other-kind", "data_error_of_another: too long", "payment.captured"),
        ("other-type", "data_error: too long", "payment.voided"),
        ("no-colon", "data_error", "stock.issued"),
    )
    part = operator.get("/console/desk/dead-letters?kind=data_error").text
    assert "order: data error (60 × payment.captured)" in part
    assert "50 of them are shown" in part
    assert "other-kind" not in part
    form = {"form_token": token_of(operator), "service": "order", "kind": "data_error", "type": "payment.captured"}
    assert (
        operator.post("/console/desk/dead-letters/discard", data=form).location == "/console/desk?act=discard&count=60"
    )
    assert sorted(in_state(operator, "parked")) == ["no-colon", "other-kind", "other-type"]
    del form["type"]
    assert operator.post("/console/desk/dead-letters/replay", data=form).location == "/console/desk?act=replay&count=2"
    assert in_state(operator, "parked") == ["other-kind"]


@pytest.mark.parametrize("which", [{}, {"service": "order"}, {"kind": "data_error"}, {"service": "all", "kind": "x"}])
def test_not_simply_all_dead_letters_are_given_up(operator: FlaskClient, which: dict[str, str]) -> None:
    """422, on the pages and by the API."""
    form = {"form_token": token_of(operator), **which}
    assert operator.post("/console/desk/dead-letters/discard", data=form).status_code == 422
    answer = operator.post("/dead-letters/discard", json={"message_ids": None}, headers=bearer("operator"))
    assert answer.status_code == 422
