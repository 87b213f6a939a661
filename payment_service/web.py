"""Payment's own part of an order, for operators."""

from typing import Any
from uuid import UUID

from flask import Flask, Response
from marshmallow import Schema, fields, validate
from sqlalchemy import RowMapping

from payment_service.domain import Status
from payment_service.gateway import PARTY
from payment_service.store import KINDS, TABLES, WORLD, find_movements, find_payment, payments
from shared.clock import DatabaseClock
from shared.config import Settings
from shared.database import Database
from shared.http.app import Routes, problems, readable, reply
from shared.http.app import create_app as create
from shared.http.auth import requires
from shared.http.dead_letters import dead_letter_routes
from shared.http.fields import Moment
from shared.http.parts import add_parts
from shared.http.problems import problem
from shared.messaging.notifier import Notifier
from shared.outside.routes import simulation_routes


class MovementSchema(Schema):
    """An entry of the ledger, which only grows."""

    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    amount = fields.Integer(required=True)
    at = Moment(required=True)


class PaymentBriefSchema(Schema):
    """What became of an order's money, in minor units of the currency."""

    order_id = fields.UUID(required=True)
    status = fields.Enum(Status, by_value=True, required=True)
    currency = fields.String(required=True, metadata={"description": "empty when undone before it was asked for"})
    amount = fields.Integer(required=True)
    authorized = fields.Integer(required=True)
    captured = fields.Integer(required=True)
    voided = fields.Integer(required=True)
    refunded = fields.Integer(required=True)
    reversal_refused = fields.Boolean(
        required=True, metadata={"description": "the network will not give back what it holds or took, for good"}
    )
    detail = fields.String(required=True, allow_none=True, metadata={"description": "why it was declined or refused"})
    created_at = Moment(required=True)
    updated_at = Moment(required=True)


SHOWN = tuple(PaymentBriefSchema().fields)


class PaymentSchema(PaymentBriefSchema):
    """The same with its ledger."""

    movements = fields.List(fields.Nested(MovementSchema), required=True)


def show(row: RowMapping) -> dict[str, Any]:
    """A payment as it is told, without its movements."""
    return {name: row[name] for name in SHOWN}


def create_app(settings: Settings, database: Database, notifier: Notifier) -> Flask:
    """The query API of the payment service."""
    routes = Routes("payments", "What was held, taken and given back for each order. For operators.")

    @routes.route("/payments/<uuid:order_id>")
    @problems(404)
    @requires("operator")
    @routes.response(200, PaymentSchema)
    def get_payment(order_id: UUID) -> Response:
        """One order's payment."""
        with database.reading() as connection:
            row = find_payment(connection, str(order_id))
            moved = find_movements(connection, str(order_id))
        if row is None:
            problem(404, f"No payment is known for order {order_id}.")
        entries = [{"kind": each["kind"], "amount": each["amount"], "at": each["at"]} for each in moved]
        return reply({**show(row), "movements": entries})

    add_parts(routes, "/payments", PaymentBriefSchema, database, payments, show)

    return create(
        settings,
        title="Payment",
        description="Holds, takes and gives back money at the card network, once per order.",
        routes=[
            routes,
            simulation_routes(WORLD, database, settings, (PARTY,)),
            dead_letter_routes(TABLES.dead_letters, database, DatabaseClock(), notifier),
        ],
        ready={"database": readable(database, payments)},
        examples={
            "Payment.status": "captured",
            "Payment.currency": "EUR",
            "Payment.authorized": 4998,
            "Payment.captured": 4998,
            "amount": 4998,
            "Movement.kind": "captured",
        },
    )
