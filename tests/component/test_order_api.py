"""The Order API over its real rooms: what it takes, what it gives, and what it will not be talked into."""

import json
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from order_service.service import SERVICE
from order_service.web.watch import Watch
from shared.contracts import (
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    ShipmentBooked,
    ShipmentDispatched,
    StockIssued,
    StockReserved,
)
from shared.http.serve import at_the_end, end
from shared.messaging.notifier import Notifier
from tests.component.apps import KEYS, ORDER, UNLIMITED, application, bearer
from tests.component.bench import Bench
from tests.crowd import wait_for

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TABLES = ("orders", "sagas", "saga_history", "outbox", "idempotency_keys")


class Shop(Bench):
    """The order service with its API in front."""

    def __init__(self, url: str, **environ: str) -> None:
        super().__init__(SERVICE, url, seed=True)
        settings = SERVICE.settings(environ={"API_KEYS": KEYS, **UNLIMITED, **environ})
        self.rung = threading.Event()
        notifier = Notifier(self.database)
        notifier.listen(self.rung.set, other_processes=False)
        self.app = SERVICE.web(settings, self.database, notifier)
        at_the_end(self.app, notifier.close, self.database.dispose)

    def close(self) -> None:
        end(self.app)

    @property
    def client(self) -> FlaskClient:
        return self.app.test_client()

    def send(self, body: Any = ORDER, key: str = "first", caller: str = "alice", **more: Any) -> TestResponse:
        content = {"json": body} if not isinstance(body, str | bytes) else {"data": body}
        headers = {**bearer(caller), "Idempotency-Key": key}
        return self.client.post("/orders", headers=headers, **{"content_type": "application/json", **content, **more})

    def place(self, key: str = "first", caller: str = "alice", **changes: Any) -> str:
        order_id: str = self.send({**ORDER, **changes}, key, caller).json["id"]
        return order_id

    def get(self, path: str, caller: str = "operator", **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.client.get(path, headers={**bearer(caller), **named})

    def post(self, path: str, body: Any = None, caller: str = "operator") -> TestResponse:
        return self.client.post(path, json=body, headers=bearer(caller))

    def counts(self) -> dict[str, int]:
        return {table: self.rows(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}

    def settle(self, order_id: str, *, until: str = "fulfilled") -> None:
        """Let the participants answer, so that the order gets there."""
        order = self.get(f"/orders/{order_id}").json
        accepted = PaymentAuthorized(order_id=order_id, authorization_id="auth-1", authorized=order["total"])
        stages = {
            "authorized": [accepted, StockReserved(order_id=order_id)],
            "booked": [ShipmentBooked(order_id=order_id, carrier="northwind-parcels", tracking_number="NW-1")],
            "paid": [PaymentCaptured(order_id=order_id, captured=order["total"])],
            "fulfilled": [StockIssued(order_id=order_id), ShipmentDispatched(order_id=order_id)],
        }
        for name, facts in stages.items():
            self.deliver(*facts)
            if name == until:
                return


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    opened = Shop(database_url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_shop(tmp_path: Any) -> Iterator[Shop]:
    opened = Shop(f"sqlite:///{tmp_path}/order.db")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def strict_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One for many tests that must leave nothing behind."""
    opened = Shop(f"sqlite:///{tmp_path_factory.mktemp('strict')}/order.db")
    yield opened
    opened.close()


# Placing


def test_a_placed_order_is_accepted_and_shown(shop: Shop) -> None:
    """202 with the place to look at, when to look, and the order with all seven steps and the catalog's prices."""
    response = shop.send()
    order = response.json
    assert response.status_code == 202
    assert response.headers["Location"] == f"/orders/{order['id']}"
    assert int(response.headers["Retry-After"]) > 0
    assert (order["status"], order["customer_id"], order["total"], order["currency"]) == (
        "pending",
        "alice",
        3998,
        "EUR",
    )
    assert [step["name"] for step in order["steps"]] == [
        *("payment", "inventory", "approval", "shipping", "capture", "issue", "dispatch"),
    ]
    assert order["ship_to"] == ORDER["ship_to"]
    assert "tok_visa" not in response.text
    assert shop.get(f"/orders/{order['id']}", "alice").json == order


@pytest.mark.parametrize(("header", "kept"), [(TRACE, TRACE), ("nonsense", None), (None, None)])
def test_the_callers_trace_goes_on(sqlite_shop: Shop, header: str | None, kept: str | None) -> None:
    """The first messages carry the W3C traceparent of the request, and so do all that they cause."""
    headers = {**bearer("alice"), "Idempotency-Key": "first", **({"traceparent": header} if header else {})}
    assert sqlite_shop.client.post("/orders", json=ORDER, headers=headers).status_code == 202
    assert sqlite_shop.rows("SELECT DISTINCT traceparent FROM outbox") == [(kept,)]


def test_a_placed_order_wakes_the_relay(shop: Shop) -> None:
    """What is to be published need not wait until somebody looks."""
    shop.place()
    assert shop.rung.is_set()


def test_the_same_key_and_body_get_the_same_answer(shop: Shop) -> None:
    """Also when the order has moved on, and when the body is written differently."""
    first = shop.send()
    shop.settle(first.json["id"])
    again = shop.send(json.dumps({**ORDER, "lines": [{"quantity": 2.0, "sku": "POPULAR-LAMP"}]}, indent=4))
    assert (again.status_code, again.data) == (202, first.data)
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert shop.counts()["orders"] == 1


def test_the_same_key_for_another_body_is_422(shop: Shop) -> None:
    """A key stands for one order for ever."""
    shop.place()
    before = shop.counts()
    response = shop.send({**ORDER, "payment_token": "tok_mastercard"})
    assert response.status_code == 422
    assert response.json["errors"][0]["parameter"] == "Idempotency-Key"
    assert shop.counts() == before


def test_twenty_twins_at_once_are_one_order(shop: Shop) -> None:
    """All hear of the same order, or that the key is in use at this instant."""
    with ThreadPoolExecutor(20) as pool:
        responses = list(pool.map(lambda _: shop.send(), range(20)))
    accepted = [each for each in responses if each.status_code == 202]
    assert {each.status_code for each in responses} <= {202, 409}
    assert len({each.json["id"] for each in accepted}) == 1
    assert shop.counts()["orders"] == 1


def address(**changes: Any) -> dict[str, Any]:
    return {**ORDER, "ship_to": {**ORDER["ship_to"], **changes}}


def lines(*wishes: Any) -> dict[str, Any]:
    return {**ORDER, "lines": list(wishes)}


LAMP = {"sku": "POPULAR-LAMP", "quantity": 1}
BAD_BODIES: dict[str, tuple[Any, str]] = {
    "an unknown sku": (lines(LAMP, {"sku": "NO-SUCH-THING", "quantity": 1}), "/lines/1/sku"),
    "no piece": (lines({**LAMP, "quantity": 0}), "/lines/0/quantity"),
    "fewer than none": (lines({**LAMP, "quantity": -1}), "/lines/0/quantity"),
    "10,000 pieces": (lines({**LAMP, "quantity": 10_000}), "/lines/0/quantity"),
    "1,001 pieces": (lines({**LAMP, "quantity": 1_001}), "/lines/0/quantity"),
    "half a piece": (lines({**LAMP, "quantity": 0.5}), "/lines/0/quantity"),
    "pieces in words": (lines({**LAMP, "quantity": "2"}), "/lines/0/quantity"),
    "a price of one's own": (lines({**LAMP, "unit_price": 1}), "/lines/0/unit_price"),
    "101 lines": (lines(*({"sku": f"SKU-{number}", "quantity": 1} for number in range(101))), "/lines"),
    "no lines": (lines(), "/lines"),
    "a sku twice": (lines(LAMP, {**LAMP, "quantity": 2}), "/lines/1/sku"),
    "lines that are none": ({**ORDER, "lines": "POPULAR-LAMP"}, "/lines"),
    "no token": ({key: value for key, value in ORDER.items() if key != "payment_token"}, "/payment_token"),
    "a card number": ({**ORDER, "payment_token": "4111111111111111"}, "/payment_token"),
    "an over-long token": ({**ORDER, "payment_token": "t" * 201}, "/payment_token"),
    "no address": ({**ORDER, "ship_to": None}, "/ship_to"),
    "half an address": (
        {**ORDER, "ship_to": {"name": "Alice", "city": "Oxford", "postal_code": "OX1", "country": "GB"}},
        "/ship_to/line1",
    ),
    "an empty name": (address(name=""), "/ship_to/name"),
    "a blank name": (address(name="  \u00a0\u3000"), "/ship_to/name"),
    "an invisible name": (address(name="\u200b\u2060\ufeff"), "/ship_to/name"),
    "an invisible street": (address(line1="\u3164\u2800\u200d"), "/ship_to/line1"),
    "a street that rings": (address(line1="1 Dean's\x07 Yard"), "/ship_to/line1"),
    "a name on two lines": (address(name="Alice\nLiddell"), "/ship_to/name"),
    "a name that is written backwards": (address(name="Alice \u202eydrob"), "/ship_to/name"),
    "no postal code": (address(postal_code=""), "/ship_to/postal_code"),
    "a blank postal code": (address(postal_code=" ", country="HK"), "/ship_to/postal_code"),
    "an over-long city": (address(city="x" * 201), "/ship_to/city"),
    "an over-long postal code": (address(postal_code="x" * 21), "/ship_to/postal_code"),
    "an unknown country": (address(country="XX"), "/ship_to/country"),
    "a country in small letters": (address(country="gb"), "/ship_to/country"),
    "a NUL": (address(city="Ox\0ford"), "/ship_to/city"),
    "a lone surrogate": (json.dumps(address(city="Ox\ud800ford")), "/ship_to/city"),
    "a status of one's own": ({**ORDER, "status": "paid"}, "/status"),
    "a customer of one's own": ({**ORDER, "customer_id": "bob"}, "/customer_id"),
    "a list": ([ORDER], ""),
}


@pytest.mark.parametrize("wrong", BAD_BODIES)
def test_a_wrong_order_is_refused_and_pointed_at(strict_shop: Shop, wrong: str) -> None:
    """422 that names the field, and nothing is written, so that its key is still free."""
    body, pointer = BAD_BODIES[wrong]
    before = strict_shop.counts()
    response = strict_shop.send(body, key=wrong.replace(" ", "-"))
    assert response.status_code == 422
    assert response.mimetype == "application/problem+json"
    assert pointer in [error["pointer"] for error in response.json["errors"]]
    assert strict_shop.counts() == before
    assert strict_shop.send(key=wrong.replace(" ", "-")).status_code == 202


@pytest.mark.parametrize(
    ("status", "more"),
    [
        (400, {"body": "{"}),
        (400, {"body": b'{"lines": "\xff"}'}),
        (415, {"body": json.dumps(ORDER), "content_type": "text/plain"}),
        (413, {"body": json.dumps(ORDER).ljust(64 * 1024 + 1)}),
        (413, {"body": address(city="x" * 70_000)}),
        (400, {"key": ""}),
        (400, {"key": "k" * 129}),
        (401, {"headers": {"Idempotency-Key": "first"}}),
    ],
)
def test_what_is_no_order_at_all_is_refused(strict_shop: Shop, status: int, more: dict[str, Any]) -> None:
    """No JSON, another type, too large, no key, no token: a problem each, and nothing is written."""
    before = strict_shop.counts()
    if "headers" in more:
        response = strict_shop.client.post("/orders", json=ORDER, headers=more["headers"])
    else:
        response = strict_shop.send(**more)
    assert (response.status_code, response.mimetype) == (status, "application/problem+json")
    assert strict_shop.counts() == before


def test_an_order_may_have_100_lines_of_1000(sqlite_shop: Shop) -> None:
    """The limits themselves are within them."""
    for number in range(100):
        product = {"sku": f"SKU-{number}", "name": "Dear thing", "unit_price": 10**10}
        assert sqlite_shop.post("/products", product).status_code == 201
    body = lines(*({"sku": f"SKU-{number}", "quantity": 1000} for number in range(100)))
    assert sqlite_shop.send(body).json["total"] == 10**15


def test_a_backlog_turns_orders_away(tmp_path: Any) -> None:
    """Beyond the limit of unpublished messages it is 503 with a time to come back; looking still works."""
    with closing(Shop(f"sqlite:///{tmp_path}/order.db", BACKLOG_LIMIT="1")) as shop:
        order_id = shop.place()
        deadline = time.monotonic() + 10
        for number in count():  # the backlog is counted once a second
            response = shop.send(key=f"key-{number}")
            if response.status_code != 202 or time.monotonic() > deadline:
                break
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) > 0
        assert shop.get(f"/orders/{order_id}").status_code == 200


# Ending


def test_an_application_ends_with_its_threads_and_connections(shop: Shop) -> None:
    """Who waits for news is told how things stand; nobody commits, looks or rings any more."""
    others, order_id = set(threading.enumerate()), shop.place()

    def threads() -> set[str]:
        return {each.name for each in set(threading.enumerate()) - others}

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(shop.get, f"/orders/{order_id}?wait=20&version=1")
        wait_for(lambda: {"watch", "group-commit"} <= threads())
        shop.close()
        assert waiting.result(10).json["version"] == 1
    assert threads() == set()


# Looking


def test_an_order_is_followed_to_its_end(shop: Shop) -> None:
    """Its amounts, carrier and status come from what the participants said; in the end there is nothing to wait for."""
    order_id = shop.place()
    shop.settle(order_id)
    response = shop.get(f"/orders/{order_id}", "alice")
    order = response.json
    assert order["status"] == "fulfilled"
    assert order["payment"] == {"authorized": 3998, "captured": 3998, "voided": 0, "refunded": 0}
    assert (order["carrier"], order["tracking_number"]) == ("northwind-parcels", "NW-1")
    assert "Retry-After" not in response.headers


def test_an_etag_saves_the_body(shop: Shop) -> None:
    """304 until there is news."""
    order_id = shop.place()
    etag = shop.get(f"/orders/{order_id}").headers["ETag"]
    unchanged = shop.get(f"/orders/{order_id}", If_None_Match=etag)
    assert (unchanged.status_code, unchanged.data) == (304, b"")
    shop.settle(order_id, until="booked")
    changed = shop.get(f"/orders/{order_id}", If_None_Match=etag)
    assert changed.status_code == 200
    assert changed.headers["ETag"] != etag


def test_the_history_is_gap_free_and_paged(shop: Shop) -> None:
    """Its last entry is the order's version; pages follow each other without a gap."""
    order_id = shop.place()
    shop.settle(order_id)
    version = shop.get(f"/orders/{order_id}").json["version"]
    entries, cursor = [], ""
    while cursor is not None:
        page = shop.get(f"/orders/{order_id}/history?limit=2{cursor and f'&cursor={cursor}'}", "alice").json
        entries += page["items"]
        cursor = page["next"]
    assert [entry["seq"] for entry in entries] == [*range(1, version + 1)]
    assert (entries[0]["event"], entries[0]["actor"]) == ("order_placed", "customer:alice")
    assert entries[-1]["to_status"] == "fulfilled"


def test_lists_go_page_by_page_from_the_newest(shop: Shop) -> None:
    """No order is missing or shown twice, also when more are placed meanwhile."""
    ids = [shop.place(f"key-{number}") for number in range(5)]
    first = shop.get("/orders?limit=2", "alice").json
    newer = shop.place("newer")
    second = shop.get(f"/orders?limit=2&cursor={first['next']}", "alice").json
    third = shop.get(f"/orders?limit=2&cursor={second['next']}", "alice").json
    seen = [order["id"] for page in (first, second, third) for order in page["items"]]
    assert seen == ids[::-1]
    assert third["next"] is None
    assert shop.get("/orders?limit=1", "alice").json["items"][0]["id"] == newer


def test_lists_can_be_narrowed(shop: Shop) -> None:
    """By status, and by whether a person is needed."""
    fulfilled, declined, pending = (shop.place(f"key-{number}") for number in range(3))
    shop.settle(fulfilled)
    shop.deliver(PaymentDeclined(order_id=declined, detail="insufficient funds"))

    def ids(query: str) -> list[str]:
        return [order["id"] for order in shop.get(f"/orders?{query}").json["items"]]

    assert ids("status=fulfilled") == [fulfilled]
    assert ids("status=cancelling") == [declined]
    assert ids("status=pending") == [pending]
    assert ids("status=paid") == ids("needs_attention=true") == []
    assert set(ids("needs_attention=false")) == {fulfilled, declined, pending}


# Waiting for news


def test_a_wait_ends_with_the_news(shop: Shop) -> None:
    """The answer comes long before the time is over, and it is the new state."""
    order_id = shop.place()
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(shop.get, f"/orders/{order_id}?wait=20&version=1", "alice")
        shop.settle(order_id, until="authorized")
        assert waiting.result().json["version"] > 1
    assert time.monotonic() - began < 20


def test_a_wait_for_old_news_is_over_at_once(shop: Shop) -> None:
    """Who is behind hears the latest immediately, and so does who waits for a finished order."""
    order_id = shop.place()
    shop.settle(order_id)
    began = time.monotonic()
    assert shop.get(f"/orders/{order_id}?wait=20&version=1").json["status"] == "fulfilled"
    assert shop.get(f"/orders/{order_id}?wait=20").json["status"] == "fulfilled"
    assert time.monotonic() - began < 20


def test_a_wait_without_news_ends_in_time(sqlite_shop: Shop) -> None:
    """After the seconds asked for, with the state as it is."""
    order_id = sqlite_shop.place()
    began = time.monotonic()
    assert sqlite_shop.get(f"/orders/{order_id}?wait=1&version=1").json["version"] == 1
    assert time.monotonic() - began >= 1


def test_those_who_wait_leave_room_for_others(sqlite_shop: Shop) -> None:
    """Beyond its limit a watch holds nobody, and it holds others again when those have gone."""
    order_id = sqlite_shop.place()
    watch = Watch(sqlite_shop.database, most=2)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(watch.wait, order_id, 1, 60.0) for _ in range(2)]
        wait_for(lambda: not watch.wait(order_id, 1, 0))
        assert not watch.wait(order_id, 1, 60.0)
        sqlite_shop.settle(order_id, until="authorized")
        assert [each.result() for each in waiting] == [True, True]
    assert watch.wait(order_id, 1, 60.0)


def test_one_caller_does_not_take_every_place_to_wait(sqlite_shop: Shop) -> None:
    """Beyond its share it is answered at once, while there is room for others."""
    order_id = sqlite_shop.place()
    watch = Watch(sqlite_shop.database, most=2, each=1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(watch.wait, order_id, 1, 60.0, "customer:alice")
        deadline = time.monotonic() + 10
        while watch.wait(order_id, 1, 0, "customer:alice") and time.monotonic() < deadline:
            pass
        assert not watch.wait(order_id, 1, 60.0, "customer:alice")
        assert watch.wait(order_id, 1, 0, "customer:bob")
        sqlite_shop.settle(order_id, until="authorized")
        assert waiting.result()


def test_a_server_that_stops_lets_nobody_wait(sqlite_shop: Shop) -> None:
    """They get the state as it is."""
    order_id = sqlite_shop.place()
    sqlite_shop.app.extensions["stopping"] = lambda: True
    began = time.monotonic()
    assert sqlite_shop.get(f"/orders/{order_id}?wait=20").status_code == 200
    assert time.monotonic() - began < 20


# People


def test_a_customer_cancels_as_often_as_wanted(shop: Shop) -> None:
    """202 while it is being cancelled, and 409 when that is done."""
    order_id = shop.place()
    for _ in range(2):
        response = shop.post(f"/orders/{order_id}/cancel", caller="alice")
        assert response.status_code == 202
        assert (response.json["status"], response.json["reason"]) == ("cancelling", "customer_request")
    assert {kind for (kind,) in shop.rows("SELECT type FROM outbox")} == {
        *("payment.requested", "stock.requested", "payment.reversal_requested", "stock.release_requested"),
    }


@pytest.mark.parametrize("until", ["booked", "paid", "fulfilled"])
def test_a_cancellation_after_the_pivot_is_409_with_the_state(shop: Shop, until: str) -> None:
    """And it changes nothing but what it says."""
    order_id = shop.place()
    shop.settle(order_id, until=until)
    before = shop.get(f"/orders/{order_id}").json
    response = shop.post(f"/orders/{order_id}/cancel", caller="alice")
    assert (response.status_code, response.json["order_status"]) == (409, before["status"])
    assert shop.get(f"/orders/{order_id}").json == before


@pytest.mark.parametrize(("decision", "status"), [("approve", "confirmed"), ("refuse", "cancelling")])
def test_an_operator_decides_once(shop: Shop, decision: str, status: str) -> None:
    """The first word counts; the second is 409 with the state."""
    order_id = shop.place(lines=[{"sku": "LINEN-SOFA", "quantity": 1}])
    early = shop.post(f"/orders/{order_id}/approval", {"decision": decision})
    assert (early.status_code, early.json["order_status"]) == (409, "pending")
    shop.settle(order_id, until="authorized")
    assert shop.get(f"/orders/{order_id}").json["status"] == "awaiting_approval"
    decided = shop.post(f"/orders/{order_id}/approval", {"decision": decision, "note": "looked at it"})
    assert (decided.status_code, decided.json["status"]) == (200, status)
    again = shop.post(f"/orders/{order_id}/approval", {"decision": decision})
    assert (again.status_code, again.json["order_status"]) == (409, status)
    entry = shop.get(f"/orders/{order_id}/history").json["items"][-1]
    assert (entry["actor"], entry["detail"]) == ("operator:operator", "looked at it")


def test_an_operator_moves_an_approvals_deadline_or_revokes_it(shop: Shop) -> None:
    """Only people may be waited for without an end."""
    order_id = shop.place(lines=[{"sku": "LINEN-SOFA", "quantity": 1}])
    path = f"/orders/{order_id}/steps"

    def patch(step: str, deadline: str | None) -> TestResponse:
        return shop.client.patch(f"{path}/{step}", json={"deadline": deadline}, headers=bearer("operator"))

    assert patch("payment", None).status_code == 409
    assert patch("payment", "2030-01-01T00:00:00+01:00").json["steps"][0]["deadline"] == "2029-12-31T23:00:00Z"
    assert patch("approval", None).status_code == 409
    shop.settle(order_id, until="authorized")
    assert patch("approval", None).json["steps"][2]["deadline"] is None
    assert patch("no-such-step", None).status_code == 404
    assert patch("payment", "soon").status_code == 422


def test_a_step_is_retried_reversed_and_settled_only_when_it_can_be(shop: Shop) -> None:
    """Else 409 with the state."""
    order_id = shop.place()
    path = f"/orders/{order_id}/steps"
    assert shop.post(f"{path}/payment/retry").json["steps"][0]["status"] == "requested"
    assert shop.post(f"{path}/shipping/retry").status_code == 409
    assert shop.post(f"{path}/capture/reverse").status_code == 409
    assert shop.post(f"{path}/issue/settle", {"note": "by hand"}).status_code == 409
    assert shop.post(f"{path}/issue/settle", {}).status_code == 422
    shop.settle(order_id, until="booked")
    reversed_ = shop.post(f"{path}/capture/reverse")
    assert (reversed_.status_code, reversed_.json["status"]) == (200, "cancelling")
    assert reversed_.json["reason"] == "operator_request"


def test_who_did_what_and_why_is_in_the_history(shop: Shop) -> None:
    """The name of the key, never the key, and the caller's own words, if any; a note that is none is 422."""
    order_id, other = shop.place(), shop.place("second")
    path = f"/orders/{order_id}"
    assert shop.post(f"{path}/steps/payment/retry", {"note": "the network is back"}).status_code == 200
    assert shop.post(f"{path}/steps/payment/retry", {"why": "x"}).status_code == 422
    shop.settle(order_id, until="booked")
    assert shop.post(f"{path}/steps/capture/reverse", {"note": "not to be waited for"}).status_code == 200
    assert shop.post(f"/orders/{other}/cancel", {"note": "ordered twice"}, caller="alice").status_code == 202
    assert shop.post(f"/orders/{other}/cancel", {"note": 3}, caller="alice").status_code == 422
    said = {
        (entry["event"], entry["actor"], entry["detail"])
        for each in (order_id, other)
        for entry in shop.client.get(f"/orders/{each}/history", headers=bearer("operator")).json["items"]
        if entry["message_id"] is None
    }
    assert said >= {
        ("order_placed", "customer:alice", None),
        ("retry_requested", "operator:operator", "the network is back"),
        ("reversal_requested", "operator:operator", "not to be waited for"),
        ("cancellation_requested", "customer:alice", "ordered twice"),
    }


# The catalog


def test_products_are_added_once(shop: Shop) -> None:
    """The same again is fine, the same sku for another price is 409, and orders get the catalog's price."""
    stool = {"sku": "NEW-STOOL", "name": "New stool", "unit_price": 4500}
    assert [shop.post("/products", stool).status_code for _ in range(2)] == [201, 200]
    assert shop.post("/products", {**stool, "unit_price": 1}).status_code == 409
    assert shop.place("stool", lines=[{"sku": "NEW-STOOL", "quantity": 3}])
    assert shop.get("/orders").json["items"][0]["total"] == 13_500


@pytest.mark.parametrize(
    ("field", "value"),
    [("unit_price", 0), ("unit_price", 10**10 + 1), ("sku", "a b"), ("sku", ""), ("name", ""), ("colour", 1)],
)
def test_a_wrong_product_is_refused(strict_shop: Shop, field: str, value: Any) -> None:
    """With a pointer to what is wrong with it."""
    response = strict_shop.post(
        "/products", {"sku": "NEW-STOOL", "name": "New stool", "unit_price": 4500, field: value}
    )
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json["errors"]] == [f"/{field}"]


def test_the_catalog_is_paged(shop: Shop) -> None:
    """All demo products, several of them under 50.00."""
    first = shop.get("/products?limit=6", "alice").json
    second = shop.get(f"/products?limit=6&cursor={first['next']}", "alice").json
    products = first["items"] + second["items"]
    assert len({product["sku"] for product in products}) == 10
    assert sum(product["unit_price"] < 5000 for product in products) >= 3


def test_an_absent_database_is_503(sqlite_shop: Shop) -> None:
    """And the process is alive, and says that it is not ready."""
    with sqlite_shop.database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE sagas RENAME TO gone")
    response = sqlite_shop.send()
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert "gone" not in response.text
    assert sqlite_shop.client.get("/healthz").status_code == 200


def test_a_database_out_of_reach_is_503_too() -> None:
    """Every call that needs it says so, and the health checks say what they are for."""
    app = application("order", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    client = app.test_client()
    for path in ("/orders", "/products", f"/orders/{'0' * 8}-0000-7000-8000-{'0' * 12}", "/readyz"):
        response = client.get(path, headers=bearer("operator"))
        assert (response.status_code, response.mimetype) == (503, "application/problem+json")
        assert int(response.headers["Retry-After"]) > 0
    assert client.post("/orders", json=ORDER, headers={**bearer("alice"), "Idempotency-Key": "k"}).status_code == 503
    assert client.get("/healthz").status_code == 200
    end(app)


def test_the_access_log_names_the_order(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """Placing an order, and every call about it, is a line of the log with the order's id as a field."""
    with caplog.at_level(logging.INFO, "fulfillment.http"):
        order_id = shop.send().json["id"]
        shop.client.get(f"/orders/{order_id}", headers=bearer("alice"))
        shop.client.get("/orders", headers=bearer("alice"))
    lines = [each for each in caplog.records if each.name == "fulfillment.http"]
    assert [getattr(each, "order_id", None) for each in lines] == [order_id, order_id, None]


def test_what_can_be_done_is_told_to_whoever_may_do_it(shop: Shop) -> None:
    """A customer may cancel; an operator is told of every step, too, and why a thing cannot be done now."""
    order_id = shop.send().json["id"]

    def told(caller: str) -> dict[tuple[str, str | None], Any]:
        found = shop.client.get(f"/orders/{order_id}/actions", headers=bearer(caller)).json["items"]
        return {(each["name"], each["step"]): each for each in found}

    assert {name for name, each in told("alice").items() if each["allowed"]} == {("cancel", None)}
    mine, theirs = told("alice"), told("operator")
    assert mine.keys() < theirs.keys()
    assert theirs["retry", "payment"]["allowed"]
    assert (theirs["settle", "dispatch"]["allowed"], theirs["settle", "dispatch"]["why"]) == (
        False,
        "Not now: dispatch is waiting.",
    )
