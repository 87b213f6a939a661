"""An order's news as server-sent events, and its status rebuilt from what the other services say."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from flask import Response, request
from marshmallow import Schema, fields
from sqlalchemy import Connection

from order_service.feed import Commit, commits, end_of_feed, knows_position
from order_service.fulfillment.differences import Healing, Meaning
from order_service.fulfillment.saga import OrderStatus
from order_service.participants import Asker, Saying, compare, rebuild
from order_service.queries import find_order, history
from order_service.terms import flow_of
from order_service.view import Order, Show, as_bytes
from order_service.web.streams import Frame, frame, response
from order_service.web.watch import Watch
from shared.clock import DatabaseClock
from shared.config import Settings
from shared.database import Database
from shared.http.app import Routes, problems, reply
from shared.http.auth import current, requires
from shared.http.problems import problem

SOON = {"Retry-After": "5"}
AT_A_TIME = 200
LAST_EVENT_ID = {
    "in": "header",
    "name": "Last-Event-ID",
    "schema": {"type": "integer", "minimum": 0},
    "description": "the last one that was read; what came after it is sent",
}
STREAM = {"type": "string"}  # the document describes no more of a stream


class DifferenceSchema(Schema):
    """What differs, what that means, and what the reconciliation does about it."""

    step = fields.String(required=True)
    meaning = fields.Enum(Meaning, by_value=True, required=True)
    healing = fields.Enum(Healing, by_value=True, required=True)
    detail = fields.String(required=True)


class SayingSchema(Schema):
    """What one service says of the order."""

    service = fields.String(required=True)
    status = fields.String(required=True, allow_none=True, metadata={"description": "null when it does not answer"})
    document = fields.Dict(required=True, allow_none=True)
    error = fields.String(required=True, allow_none=True)
    differences = fields.List(fields.Nested(DifferenceSchema), required=True)


class ParticipantsSchema(Schema):
    """The order's status as we know it, and as it follows from what the others say; null when not all answer."""

    order_id = fields.UUID(required=True)
    status = fields.Enum(OrderStatus, by_value=True, required=True)
    rebuilt_status = fields.Enum(OrderStatus, by_value=True, required=True, allow_none=True)
    participants = fields.List(fields.Nested(SayingSchema), required=True)


class OrderEvents:
    """The history of one order as it grows, for all who follow it."""

    pace = 0.0
    has_backlog = False

    def __init__(self, order_id: str) -> None:
        self.order_id: str | None = order_id

    def frames(self, connection: Connection, after: int) -> list[Frame]:
        assert self.order_id
        entries = history(connection, self.order_id, after=after, limit=AT_A_TIME)
        return [frame(each["seq"], as_bytes(each).decode(), id=str(each["seq"])) for each in entries]


class AllEvents:
    """The histories of all orders as they grow, for all operators who follow them."""

    order_id: str | None = None
    pace = 0.0
    has_backlog = True

    def frames(self, connection: Connection, after: int) -> list[Frame]:
        """A frame for each transaction; its last event carries its position as id, so that none is resumed halfway."""
        return [Frame(commit.position, _events(commit)) for commit in commits(connection, after)]


def _events(commit: Commit) -> bytes:
    last = len(commit.entries) - 1
    return b"".join(
        frame(
            commit.position,
            as_bytes({"order_id": order_id, **entry}).decode(),
            id=str(commit.position) if number == last else None,
        ).data
        for number, (order_id, entry) in enumerate(commit.entries)
    )


def _last_event_id(longest: int) -> int | None:
    """The number that a viewer has read last; None when it begins. Ends the request with 400 for what is no number."""
    given = request.headers.get("Last-Event-ID", "").strip()
    if given and not (given.isascii() and given.isdigit() and len(given) <= longest):
        problem(400, "Last-Event-ID is none that this stream gave out.")
    return int(given) if given else None


def event_routes(database: Database, show: Show, settings: Settings, watch: Watch) -> Routes:
    routes = Routes("events", "What happens to orders, as it happens, and what the other services say of them.")
    asker = Asker.of(settings)

    def find(order_id: UUID) -> Order:
        who = current()
        with database.reading() as connection:
            record = find_order(connection, str(order_id))
        if record is None or not who.may_see(record.customer_id):
            problem(404, f"There is no order {order_id}.")
        return record

    @routes.route("/orders/<uuid:order_id>/events", parameters=[LAST_EVENT_ID])
    @problems(400, 404, 503)
    @requires()
    @routes.response(
        200, STREAM, content_type="text/event-stream", description="server-sent events: lines of the history"
    )
    def get_order_events(order_id: UUID) -> Response:
        """Follow an order: each line of its history as a server-sent event whose id is its `seq`.

        With Last-Event-ID, or from the beginning; without a gap either way. The stream does not end by itself.
        """
        record, who = find(order_id), current()
        after, key = _last_event_id(9) or 0, record.id
        stream = watch.view(("events", key), lambda: OrderEvents(key), after, who.id)
        if stream is None:
            problem(503, "Too many streams are open. Try again later.", headers=SOON)
        return response(stream, watch.release)

    @routes.route("/events", parameters=[LAST_EVENT_ID])
    @problems(400, 503)
    @requires("operator")
    @routes.response(
        200, STREAM, content_type="text/event-stream", description="server-sent events: lines of all histories"
    )
    def get_events() -> Response:
        """Follow all orders: each line of each history as a server-sent event, with its `order_id`.

        From now on, or with Last-Event-ID from there on without a gap. What one transaction wrote comes together, and
        only its last event has an id: after a break in between all of it comes again.
        """
        after, who = _last_event_id(18), current()
        with database.reading() as connection:
            if after is None:
                after = end_of_feed(connection)
            elif not knows_position(connection, after):
                problem(400, "Last-Event-ID is none that this stream gave out.")
        stream = watch.view("all events", AllEvents, after, who.id)
        if stream is None:
            problem(503, "Too many streams are open. Try again later.", headers=SOON)
        return response(stream, watch.release)

    @routes.route("/orders/<uuid:order_id>/participants")
    @problems(404)
    @requires("operator")
    @routes.response(200, ParticipantsSchema)
    def get_participants(order_id: UUID) -> Response:
        """What do payment, inventory and shipping say of the order, which status follows from it, what differs?

        They are asked now, with the caller's own token unless PARTICIPANTS_KEY is set.
        """
        record = find(order_id)
        with database.reading() as connection:
            now = DatabaseClock().now(connection)
        token = settings.participants_key or request.headers["Authorization"].partition(" ")[2].strip()
        return reply(look(show, record, asker, token, now=now, grace=settings.reconcile_grace))

    return routes


def look(show: Show, record: Order, asker: Asker, token: str, *, now: datetime, grace: timedelta) -> dict[str, Any]:
    """The order and its participants, side by side. Younger than `grace` it may still wait for messages under way."""
    sayings = asker.ask(record.id, token)
    flow = flow_of(show.flows, record.id, record.workflow_version)
    compared = compare(flow, record.saga, sayings, fresh=now - record.updated_at < grace)
    return {
        "order_id": record.id,
        "status": record.status,
        "rebuilt_status": rebuild(sayings, bool(record.saga.facts["needs_approval"])),
        "participants": [_told(each) for each in compared],
    }


def _told(saying: Saying) -> dict[str, Any]:
    differences = [
        {name: value for name, value in asdict(each).items() if name != "service"} for each in saying.differences
    ]
    return {**vars(saying), "differences": differences}
