"""Shipping's own part of an order, and how its simulated carriers behave: for operators."""

from typing import Any
from uuid import UUID

from flask import Flask, Response
from marshmallow import Schema, fields
from sqlalchemy import RowMapping

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
from shipping_service.domain import CARRIERS, Status, Trial
from shipping_service.store import TABLES, WORLD, find_shipment, shipments


class ShipmentSchema(Schema):
    """What became of an order's parcel."""

    order_id = fields.UUID(required=True)
    status = fields.Enum(Status, by_value=True, required=True)
    carrier = fields.String(required=True, allow_none=True)
    tracking_number = fields.String(required=True, allow_none=True)
    cancellation_refused = fields.Boolean(
        required=True, metadata={"description": "the carrier will not cancel its booking, for good"}
    )
    detail = fields.String(required=True, allow_none=True, metadata={"description": "what the carriers said"})
    carriers = fields.Dict(
        fields.String(),
        fields.Enum(Trial, by_value=True),
        required=True,
        metadata={"description": "how far the booking got with each carrier that was asked"},
    )
    country = fields.String(required=True, allow_none=True)
    created_at = Moment(required=True)
    updated_at = Moment(required=True)


SHOWN = (
    "order_id",
    "status",
    "carrier",
    "tracking_number",
    "cancellation_refused",
    "detail",
    "carriers",
    "created_at",
    "updated_at",
)


def show(row: RowMapping) -> dict[str, Any]:
    """A shipment as it is told."""
    return {name: row[name] for name in SHOWN} | {"country": (row["ship_to"] or {}).get("country")}


def create_app(settings: Settings, database: Database, notifier: Notifier) -> Flask:
    """The query API of the shipping service."""
    routes = Routes("shipments", "The parcel of each order, without the address that it goes to. For operators.")

    @routes.route("/shipments/<uuid:order_id>")
    @problems(404)
    @requires("operator")
    @routes.response(200, ShipmentSchema)
    def get_shipment(order_id: UUID) -> Response:
        """One order's shipment."""
        with database.reading() as connection:
            row = find_shipment(connection, str(order_id))
        if row is None:
            problem(404, f"No shipment is known for order {order_id}.")
        return reply(show(row))

    add_parts(routes, "/shipments", ShipmentSchema, database, shipments, show)

    return create(
        settings,
        title="Shipping",
        description="Books parcels with carriers, cancels them or hands them over, once per order.",
        routes=[
            routes,
            simulation_routes(WORLD, database, settings, CARRIERS),
            dead_letter_routes(TABLES.dead_letters, database, DatabaseClock(), notifier),
        ],
        ready={"database": readable(database, shipments)},
        examples={
            "Shipment.status": "booked",
            "Shipment.carrier": "northwind-parcels",
            "Shipment.tracking_number": "NW0123456789ABCD",
            "Shipment.carriers": {"northwind-parcels": "booked"},
            "Shipment.country": "GB",
        },
    )
