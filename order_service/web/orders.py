"""Orders: place, look, wait for news, list, read the history, cancel, approve."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from flask import Response, g, request

from order_service.coalescing import Coalescing
from order_service.commands import Commands
from order_service.domain import NewOrder, Wish
from order_service.group_commit import Closed, GroupCommit, InUse, Overloaded
from order_service.placing import Mismatch, NotSold, Outcome, Replayed, TooMany
from order_service.queries import find_rows, history, list_orders
from order_service.store import Row
from order_service.view import Order, Show, order_from
from order_service.web.schemas import (
    EXAMPLE,
    LONGEST_WAIT,
    EntrySchema,
    NewOrderSchema,
    OrderSchema,
    OrdersPageSchema,
    VerdictSchema,
    WaitSchema,
    WhySchema,
)
from order_service.web.watch import Watch
from shared.api_keys import Principal
from shared.database import Database
from shared.http.app import Routes, problems, reply, unless_known
from shared.http.auth import current, requires
from shared.http.fields import IdempotencyHeader
from shared.http.pages import listed, page, page_schema
from shared.http.problems import problem, wrong_parameter
from shared.messaging.envelope import TRACEPARENT

SOON = {"Retry-After": "1"}
HEADERS = {
    "Location": {"description": "the order", "schema": {"type": "string"}},
    "Retry-After": {"description": "seconds until it is worth looking", "schema": {"type": "integer"}},
}


def order_routes(database: Database, show: Show, group_commit: GroupCommit, commands: Commands, watch: Watch) -> Routes:
    def rows_of(order_ids: Sequence[str]) -> Sequence[Row | None]:
        with database.reading() as connection:
            found = find_rows(connection, order_ids)
        return [found.get(each) for each in order_ids]

    find = Coalescing(rows_of)
    routes = Routes("orders", "Customers see and cancel their own orders, operators all of them.")

    @routes.route("/orders", methods=["POST"])
    @problems(409, 503)
    @requires()
    @routes.arguments(NewOrderSchema, example=EXAMPLE)
    @routes.arguments(IdempotencyHeader, location="headers")
    @routes.response(202, OrderSchema, headers=HEADERS)
    def place_order(body: dict[str, Any], header: dict[str, str]) -> Response:
        """Place an order.

        The same key with the same body is the same order and gets the same answer, however often it is sent.
        """
        try:
            outcome = group_commit.submit(_new_order(current(), header["key"], body))
        except InUse:
            problem(
                409,
                "An order with this Idempotency-Key is being placed at this instant.",
                kind="key-in-use",
                headers=SOON,
            )
        except (Overloaded, Closed):
            detail = "No more orders are taken at the moment. Try again later."
            problem(503, detail, kind="overloaded", headers={"Retry-After": "5"})
        return _placed(outcome)

    @routes.route("/orders/<uuid:order_id>")
    @problems(404)
    @requires()
    @routes.arguments(WaitSchema, location="query")
    @routes.response(200, OrderSchema, headers={"ETag": {"schema": {"type": "string"}}})
    @routes.alt_response(304, description="It is as If-None-Match says.")
    def get_order(query: dict[str, Any], order_id: UUID) -> Response:
        """How does the order stand?

        With `wait`, the answer comes as soon as there is news: a later version than `version`, or than the one now.
        """
        order = _find(find, order_id)
        known = order.version if query["version"] is None else query["version"]
        seconds = min(query["wait"], LONGEST_WAIT)
        if seconds and order.version <= known and not order.status.final:
            watch.wait(order.id, known, seconds, current().id)
            order = _find(find, order_id)
        response = unless_known(order.version, lambda: reply(show(order)))
        if not order.status.final:
            response.headers.update(SOON)
        return response

    @routes.route("/orders")
    @requires(heavy=True)
    @routes.arguments(OrdersPageSchema, location="query")
    @routes.response(200, listed(OrderSchema))
    def get_orders(query: dict[str, Any]) -> Response:
        """Which orders are there? The newest first."""
        who = current()
        with database.reading() as connection:
            found = list_orders(
                connection,
                customer_id=None if who.is_operator else who.customer_id,
                status=query["status"],
                needs_attention=query["needs_attention"],
                before=query["cursor"],
                limit=query["limit"] + 1,
            )
        return reply(page(found, query["limit"], lambda order: order.id, show))

    @routes.route("/orders/<uuid:order_id>/history")
    @problems(404)
    @requires(heavy=True)
    @routes.arguments(page_schema("[0-9]{1,9}", limit=200), location="query")
    @routes.response(200, listed(EntrySchema))
    def get_history(query: dict[str, Any], order_id: UUID) -> Response:
        """What happened to the order? The oldest first, without a gap in `seq`."""
        order = _find(find, order_id)
        after, limit = int(query["cursor"] or 0), query["limit"]
        with database.reading() as connection:
            entries = history(connection, order.id, after=after, limit=limit + 1)
        return reply(page(entries, limit, lambda entry: str(entry["seq"]), dict))

    _add_commands(routes, commands, show)
    return routes


def _add_commands(routes: Routes, commands: Commands, show: Show) -> None:
    @routes.route("/orders/<uuid:order_id>/cancel", methods=["POST"])
    @problems(404, 409)
    @requires()
    @routes.arguments(WhySchema, required=False, example={"note": "ordered twice by mistake"})
    @routes.response(202, OrderSchema, headers=HEADERS)
    def cancel_order(body: dict[str, Any], order_id: UUID) -> Response:
        """Cancel the order.

        Possible until its payment is being captured; whatever was done by then is undone.
        """
        return _accepted(commands.cancel(str(order_id), current(), body["note"]), show)

    @routes.route("/orders/<uuid:order_id>/approval", methods=["POST"])
    @problems(404, 409)
    @requires("operator")
    @routes.arguments(VerdictSchema, example={"decision": "approve", "note": "a customer of many years"})
    @routes.response(200, OrderSchema)
    def decide_approval(verdict: dict[str, Any], order_id: UUID) -> Response:
        """Approve or refuse an order that awaits it."""
        say = commands.approve if verdict["decision"] == "approve" else commands.refuse
        return reply(show(say(str(order_id), current(), verdict["note"])))


def _new_order(who: Principal, key: str, body: Mapping[str, Any]) -> NewOrder:
    trace = request.headers.get("traceparent", "")
    return NewOrder(
        principal=who.id,
        path=request.path,
        key=key,
        body_hash=hashlib.sha256(msgspec.json.encode(body, order="sorted")).hexdigest(),
        customer_id=who.customer_id,
        lines=[Wish(**line) for line in body["lines"]],
        ship_to=body["ship_to"],
        payment_token=body["payment_token"],
        traceparent=trace if TRACEPARENT.fullmatch(trace) else None,
    )


def _placed(outcome: Outcome) -> Response:
    if isinstance(outcome, Mismatch):
        used = "Was used before, for another order. A new order needs a new key."
        wrong_parameter("Idempotency-Key", used, kind="key-used-otherwise")
    if isinstance(outcome, TooMany):
        detail = "You have as many orders under way as you may. Try again when one of them has ended."
        problem(429, detail, kind="too-many-open-orders", headers={"Retry-After": "5"})
    if isinstance(outcome, NotSold):
        faults = [{"pointer": f"/lines/{index}/sku", "detail": "Is not in the catalog."} for index in outcome.positions]
        named = ", ".join(fault["pointer"] for fault in faults[:5])
        problem(422, f"{named}: not in the catalog.", kind="not-sold", faults=faults)
    response = Response(outcome.response, 202, mimetype="application/json")
    response.headers.update(_where(outcome.order_id))
    if isinstance(outcome, Replayed):
        response.headers["Idempotent-Replayed"] = "true"
    return response


def _accepted(order: Order, show: Show) -> Response:
    response = reply(show(order), 202)
    response.headers.update(_where(order.id))
    return response


def _where(order_id: str) -> dict[str, str]:
    """Where and when to look for what becomes of an order; Flask's url_for would take as long as reading the body.

    The access log names the order, too.
    """
    g.order_id = order_id
    return {"Location": f"{request.script_root}/orders/{order_id}", **SOON}


def _find(find: Coalescing[str, Row | None], order_id: UUID) -> Order:
    """The order, if it is there and the caller may see it; ends the request with 404 otherwise."""
    row, who = find(str(order_id)), current()
    if row is None or not who.may_see(row["customer_id"]):
        problem(404, f"There is no order {order_id}.")
    return order_from(row)
