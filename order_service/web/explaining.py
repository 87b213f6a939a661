"""Gathers what is known of an order, here and at the other services, and has it explained in plain words."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from flask import Response, request
from sqlalchemy import Connection

from order_service.commands import Commands
from order_service.explanation import Account, DeadLetter, Known, Possible, explain
from order_service.participants import PATHS, Asker, NoAnswer, Saying, call, compare, refusal
from order_service.queries import find_order, history
from order_service.story import Entry
from order_service.tables import TABLES
from order_service.terms import flow_of
from order_service.view import Order, Show
from order_service.web.actions import useful
from order_service.web.schemas import ExplanationSchema
from shared.api_keys import Principal
from shared.config import Settings
from shared.http.app import Routes, problems, reply
from shared.http.auth import current, requires
from shared.http.problems import problem

FIRST, LAST = 100, 900  # lines of a long history that are read
LETTERS = 20  # of each service
LARGEST = 16 * 1024 * 1024  # bytes that a service's letters may have together


def explanation_routes(show: Show, commands: Commands, settings: Settings) -> Routes:
    routes = Routes("explanations", "Where is an order, and why?")
    asker = Asker.of(settings)

    @routes.route("/orders/<uuid:order_id>/explanation")
    @problems(404)
    @requires(heavy=True)
    @routes.response(200, ExplanationSchema)
    def get_explanation(order_id: UUID) -> Response:
        """The order in plain words: what happened, who is waited for, what comes next and when, what can be done.

        For an operator the other services are asked now, for a few seconds at most; those that do not answer are named.
        """
        who = current()
        with commands.database.reading() as connection:
            order = find_order(connection, str(order_id))
            if order is None or not who.may_see(order.customer_id):
                problem(404, f"There is no order {order_id}.")
            known = known_here(connection, show, order, who, commands.clock.now(connection))
        if who.is_operator:
            token = settings.participants_key or request.headers["Authorization"].partition(" ")[2].strip()
            fresh = known.now - order.updated_at < settings.reconcile_grace
            others = ask_others(show, order, asker, token, fresh=fresh)
            known = replace(known, accounts=[*known.accounts, *others])
        return reply(explain(known))

    return routes


def known_here(
    connection: Connection,
    show: Show,
    order: Order,
    who: Principal,
    now: datetime,
    lines: Sequence[Entry] | None = None,
) -> Known:
    """What this service's database knows of an order, as far as it is the caller's business; `lines` are its history
    where that has been read."""
    flow = flow_of(show.flows, order.id, order.workflow_version)
    possible = [
        Possible(text=f"{each.step}: {each.label}. {each.meaning}" if each.step else f"{each.label}. {each.meaning}",
                 command=each.command(order.id))
        for each in useful(flow, order, who, now)
    ]  # fmt: skip
    lines = _lines(connection, order) if lines is None else lines
    known = Known(order=order, flow=flow, history=lines, now=now, possible=possible)
    if not who.is_operator:
        return known
    unsent = TABLES.outbox.unsent(connection, [order.id]).get(order.id, set())
    rows = TABLES.dead_letters.find(connection, correlation_id=order.id, most=LETTERS)
    own = Account(service="order", letters=[_letter("order", row) for row in rows])
    return replace(known, internals=True, unsent=unsent, accounts=[own])


def ask_others(show: Show, order: Order, asker: Asker, token: str, *, fresh: bool) -> list[Account]:
    """What payment, inventory and shipping say of an order, and their dead letters about it; asked all at once. An
    order that is `fresh` may still wait for messages under way."""
    with ThreadPoolExecutor(len(PATHS)) as pool:
        letters = pool.map(partial(_letters, asker.urls, order.id, token), PATHS)
        flow = flow_of(show.flows, order.id, order.workflow_version)
        sayings = compare(flow, order.saga, asker.ask(order.id, token), fresh=fresh)
        return [_account(saying, found) for saying, found in zip(sayings, letters, strict=True)]


def _account(saying: Saying, found: Sequence[DeadLetter] | str) -> Account:
    """`found` are letters, or why there are none."""
    if isinstance(found, str):
        return Account(service=saying.service, saying=saying, error=saying.error or found)
    return Account(service=saying.service, saying=saying, letters=found, error=saying.error)


def _letters(urls: Mapping[str, str], order_id: str, token: str, service: str) -> Sequence[DeadLetter] | str:
    wanted = urlencode({"correlation_id": order_id, "limit": LETTERS})
    try:
        status, document = call(urls[service], "GET", f"/dead-letters?{wanted}", token, largest=LARGEST)
    except NoAnswer as error:
        return str(error)
    if status != 200:
        return refusal(status, document)
    return [_letter(service, each) for each in document["items"]]


def _letter(service: str, row: Mapping[Any, Any]) -> DeadLetter:
    return DeadLetter(service=service, **{name: row[name] for name in ("message_id", "type", "reason")})


def _lines(connection: Connection, order: Order) -> Sequence[Entry]:
    """The order's history; of a very long one its beginning and its end."""
    if order.version <= FIRST + LAST:
        return history(connection, order.id, limit=FIRST + LAST)
    latest = history(connection, order.id, after=order.version - LAST, limit=2 * LAST)
    return [*history(connection, order.id, limit=FIRST), *latest]
