"""Every route of every service while its tables are locked by somebody else, or its disk is full: 503 and no other 5xx.

A full disk is told by what PostgreSQL says then; that it says so is seen on a real small disk (test_full_disk.py).
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from typing import NamedTuple

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from order_service.web.console.sessions import VISITOR, form_token
from shared.database import Timeouts
from shared.http.serve import end
from tests.component.apps import application, bearer, prepare, sign_in
from tests.component.orders import Shop, authorized_and_reserved, booked, wanted
from tests.component.test_authorization import (
    ACTION,
    BODIES,
    EVERYWHERE,
    FORMS,
    LETTER_ACTION,
    SERVICES,
    STEP_ACTION,
    UNKNOWN,
)
from tests.component.wrong_clock import ServersClock

BRIEF = Timeouts(connect=2.0, connection=1.0, lock=0.05, statement=0.5, answer=2.0)
SOON = 10.0  # seconds; without a limit of our own it would be for as long as the lock is held
FULL = "53100"
PARTS = {"<uuid:order_id>": UNKNOWN, "<step>": "payment", "<sku>": "OAK-CHAIR", ACTION: "cancel", STEP_ACTION: "retry"}
PARTS |= {"<path:file>": "start.js", "<path:elsewhere>": "nowhere", LETTER_ACTION: "replay", "<customer_id>": "alice"}
WRITES = {  # what cannot be done while nothing can be written
    "order": {
        "POST /orders",
        "POST /orders/<uuid:order_id>/cancel",
        "POST /orders/<uuid:order_id>/approval",
        "POST /orders/<uuid:order_id>/steps/<step>/retry",
        "POST /orders/<uuid:order_id>/steps/<step>/reverse",
        "PATCH /orders/<uuid:order_id>/steps/<step>",
        "POST /products",
        f"POST /console/orders/<uuid:order_id>/{ACTION}",
        f"POST /console/orders/<uuid:order_id>/steps/<step>/{STEP_ACTION}",
        "POST /console/sign-in",
        "POST /console/sign-out",
    },
    "payment": {"PUT /simulation"},
    "inventory": {"POST /stock/<sku>/receipts"},
    "shipping": {"PUT /simulation"},
}
DISCARD = "POST /dead-letters/discard"
LETTERS = {"POST /dead-letters/replay", DISCARD}


class Answer(NamedTuple):
    status: int
    retry: bool  # whether a time to come back is told


DUE = Answer(503, True)


class Caller:
    """An operator, at the API and at the pages, who asks about orders that are just where they can be moved."""

    def __init__(self, app: Flask, orders: Mapping[str, tuple[str, str]]) -> None:
        self.app, self.orders, self.client = app, orders, app.test_client()
        self.secret = sign_in(app, self.client, "operator") if "console" in app.extensions else ""

    def ask(self, route: str) -> Answer:
        method, path = route.split(" ", 1)
        order_id, step = self.orders.get(path.rpartition("/")[2], self.orders.get("", (UNKNOWN, "payment")))
        for name, text in {**PARTS, "<uuid:order_id>": order_id, "<step>": step}.items():
            path = path.replace(name, text)
        began = time.monotonic()
        answer = self._send(route, method, path)
        assert time.monotonic() - began < SOON, route
        return answer

    def _send(self, route: str, method: str, path: str) -> Answer:
        client: FlaskClient = self.client
        if path == "/console/sign-in":
            client = self.app.test_client()
            client.set_cookie(VISITOR, self.secret)
        if path == "/" or path.startswith("/console"):
            data = {"form_token": form_token(self.secret), **FORMS.get(route, {})} if method == "POST" else None
            sent = client.open(path, method=method, data=data)
        else:
            headers = {**bearer("operator"), "Idempotency-Key": "new"}
            sent = client.open(path, method=method, headers=headers, json=BODIES.get(route))
        with sent as response:
            return Answer(response.status_code, "Retry-After" in response.headers)


def routes(app: Flask) -> list[str]:
    """Every method and rule; what would sign the caller out comes last."""
    found = {
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    return sorted(found, key=lambda route: ("sign" in route, route))


def orders(url: str) -> dict[str, tuple[str, str]]:
    """An order that waits, by default; and where that makes a difference one that can be approved or reversed."""
    with closing(Shop(url)) as shop:
        waiting, dear, paying = shop.placed(wanted("1"), wanted("2", LINEN_SOFA=1), wanted("3"))
        total = shop.find(dear).total
        shop.deliver(*authorized_and_reserved(dear, total), *authorized_and_reserved(paying))
        shop.deliver(*booked(paying))
        assert shop.find(dear).status == "awaiting_approval"
        return {"": (waiting, "payment"), "approval": (dear, "approval"), "reverse": (paying, "capture")}


@contextmanager
def owner(url: str) -> Iterator["psycopg.Connection[tuple[str]]"]:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        yield connection


def tables(connection: "psycopg.Connection[tuple[str]]") -> list[str]:
    found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return [name for (name,) in found]


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Somebody's maintenance holds every table."""
    with owner(url) as connection:
        named = ", ".join(tables(connection))
        connection.execute(f"LOCK TABLE {named} IN ACCESS EXCLUSIVE MODE")  # type: ignore[arg-type]
        yield
        connection.rollback()


@contextmanager
def full(url: str) -> Iterator[None]:
    """Whatever is written, PostgreSQL says that the disk is full."""
    with owner(url) as connection:
        connection.execute(f"""CREATE FUNCTION full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '{FULL}'; END $$""")
        for table in tables(connection):
            on = f"BEFORE INSERT OR UPDATE OR DELETE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION full()"
            connection.execute(f"CREATE TRIGGER full_disk {on}")  # type: ignore[arg-type]
    yield
    with owner(url) as connection:
        connection.execute("DROP FUNCTION full() CASCADE")


def answers(service: str, url: str, weather: Callable[[str], AbstractContextManager[None]]) -> dict[str, Answer]:
    """What each route says in that weather, which each says before it is over."""
    prepare(service, url)
    known = orders(url) if service == "order" else {}
    app = application(service, url, timeouts=BRIEF)
    caller = Caller(app, known)
    with weather(url):
        found = {route: caller.ask(route) for route in routes(app)}
    end(app)
    return found


def wrong(found: Mapping[str, Answer]) -> dict[str, Answer]:
    return {route: answer for route, answer in found.items() if answer.status >= 500 and answer != DUE}


@pytest.mark.parametrize("service", SERVICES)
def test_tables_that_somebody_locks_are_503_and_no_conflict(service: str, postgres_url: str) -> None:
    """All that needs a table is told to come back; nobody's key is said to be in use."""
    found = answers(service, postgres_url, locked)
    assert wrong(found) == {}
    assert {route for route, answer in found.items() if answer.status == 409} == set()
    assert {found[route] for route in WRITES[service] | LETTERS} == {DUE}
    answered = {route for route, answer in found.items() if answer != DUE and "/console" not in route}
    assert answered - {"GET /events"} == EVERYWHERE.keys() - {"GET /readyz"}  # it begins with nothing from a table


@pytest.mark.parametrize("service", SERVICES)
def test_a_full_disk_is_503_for_all_that_writes(service: str, postgres_url: str) -> None:
    """What reads is answered."""
    found = answers(service, postgres_url, full)
    assert wrong(found) == {}
    assert {route: found[route] for route in WRITES[service] | {DISCARD} if found[route] != DUE} == {}
    assert {answer.status for route, answer in found.items() if route.startswith("GET /orders")} <= {200}


@pytest.mark.parametrize("service", SERVICES)
def test_a_clock_that_jumps_is_nobodys_fault(service: str, postgres_url: str) -> None:
    """The database's clock three days ahead, and then an hour back: every route answers, and none with 5xx."""
    prepare(service, postgres_url)
    known = orders(postgres_url) if service == "order" else {}
    clock, found = ServersClock(postgres_url), {}
    for ahead in ("3 days", "-1 hour"):
        clock.set_ahead(ahead)
        app = application(service, postgres_url)
        caller = Caller(app, known)
        found |= {f"{ahead}: {route}": caller.ask(route) for route in routes(app)}
        end(app)
    assert {route: answer for route, answer in found.items() if answer.status >= 500} == {}
