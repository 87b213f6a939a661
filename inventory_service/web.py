"""Inventory's own part of an order, the stock, and goods coming in: for operators."""

import re
from dataclasses import asdict
from typing import Any
from uuid import UUID

from flask import Flask, Response
from marshmallow import Schema, fields
from sqlalchemy import RowMapping

from inventory_service.domain import Kind, Status
from inventory_service.receipts import KeyInUse, KeyReused, receive
from inventory_service.store import TABLES, find_movements, find_reservation, list_stock, reservations, stock
from shared.clock import DatabaseClock
from shared.config import Settings
from shared.database import Database
from shared.http.app import Routes, problems, readable, reply
from shared.http.app import create_app as create
from shared.http.auth import current, requires
from shared.http.dead_letters import dead_letter_routes
from shared.http.fields import SKU, IdempotencyHeader, Moment, StrictSchema, Whole
from shared.http.pages import listed, page, page_schema
from shared.http.parts import add_parts
from shared.http.problems import problem, wrong_parameter
from shared.messaging.notifier import Notifier

SKU_IN_PATH = {"in": "path", "name": "sku", "required": True, "schema": {"type": "string", "pattern": SKU}}


class GoodsSchema(StrictSchema):
    """Goods that come in."""

    quantity = Whole(1, 1_000_000, required=True)


class ReceiptSchema(Schema):
    """Goods that came in; `on_hand` is how many there were just after."""

    sku = fields.String(required=True)
    quantity = fields.Integer(required=True)
    on_hand = fields.Integer(required=True)
    received_at = Moment(required=True)


class LineSchema(Schema):
    sku = fields.String(required=True)
    quantity = fields.Integer(required=True)


class MovementSchema(Schema):
    """An entry of the ledger, which only grows."""

    sku = fields.String(required=True)
    kind = fields.Enum(Kind, by_value=True, required=True)
    quantity = fields.Integer(required=True)
    at = Moment(required=True)


class ReservationBriefSchema(Schema):
    """What is or was set aside for an order."""

    order_id = fields.UUID(required=True)
    status = fields.Enum(Status, by_value=True, required=True)
    lines = fields.List(fields.Nested(LineSchema), required=True)
    detail = fields.String(required=True, allow_none=True, metadata={"description": "why it is unavailable"})
    created_at = Moment(required=True)
    updated_at = Moment(required=True)


SHOWN = tuple(ReservationBriefSchema().fields)


class ReservationSchema(ReservationBriefSchema):
    """The same with what moved."""

    movements = fields.List(fields.Nested(MovementSchema), required=True)


def show_brief(row: RowMapping) -> dict[str, Any]:
    """A reservation as it is told, without what moved."""
    lines = [{"sku": sku, "quantity": quantity} for sku, quantity in row["lines"].items()]
    return {**{name: row[name] for name in SHOWN}, "lines": lines}


class StockSchema(Schema):
    """How many of a product are in the house, promised to orders, and still to be had."""

    sku = fields.String(required=True)
    on_hand = fields.Integer(required=True)
    reserved = fields.Integer(required=True)
    available = fields.Integer(required=True)


def create_app(settings: Settings, database: Database, notifier: Notifier) -> Flask:
    """The API of the inventory service."""

    return create(
        settings,
        title="Inventory",
        description="Sets goods aside for orders, gives them back or hands them over, and never promises one twice.",
        routes=[
            reservation_routes(database),
            stock_routes(database),
            dead_letter_routes(TABLES.dead_letters, database, DatabaseClock(), notifier),
        ],
        ready={"database": readable(database, stock)},
        examples={"sku": "POPULAR-LAMP", "quantity": 2, "on_hand": 100, "reserved": 20, "available": 80},
    )


def reservation_routes(database: Database) -> Routes:
    routes = Routes("reservations", "What is or was set aside for each order. For operators.")

    @routes.route("/reservations/<uuid:order_id>")
    @problems(404)
    @requires("operator")
    @routes.response(200, ReservationSchema)
    def get_reservation(order_id: UUID) -> Response:
        """One order's reservation."""
        with database.reading() as connection:
            row = find_reservation(connection, str(order_id))
            moved = find_movements(connection, str(order_id))
        if row is None:
            problem(404, f"No reservation is known for order {order_id}.")
        return reply(
            {
                **show_brief(row),
                "movements": [{name: each[name] for name in ("sku", "kind", "quantity", "at")} for each in moved],
            }
        )

    add_parts(routes, "/reservations", ReservationBriefSchema, database, reservations, show_brief)
    return routes


def stock_routes(database: Database) -> Routes:
    routes = Routes("stock", "What is in the house. For operators.")

    def show(row: RowMapping) -> dict[str, Any]:
        return {**row, "available": row["on_hand"] - row["reserved"]}

    @routes.route("/stock")
    @requires("operator", heavy=True)
    @routes.arguments(page_schema(SKU), location="query")
    @routes.response(200, listed(StockSchema))
    def get_stock(query: dict[str, Any]) -> Response:
        """How much is there of each product? In the order of the sku."""
        with database.reading() as connection:
            found = list_stock(connection, after=query["cursor"] or "", most=query["limit"] + 1)
        return reply(page(found, query["limit"], lambda row: str(row["sku"]), show))

    @routes.route("/stock/<sku>/receipts", methods=["POST"], parameters=[SKU_IN_PATH])
    @problems(409, 422)
    @requires("operator")
    @routes.arguments(GoodsSchema, example={"quantity": 50})
    @routes.arguments(IdempotencyHeader, location="headers")
    @routes.response(201, ReceiptSchema)
    def post_receipt(goods: dict[str, Any], header: dict[str, str], sku: str) -> Response:
        """Take goods in. An unknown sku is created; the same key again answers the same and adds nothing."""
        if not re.fullmatch(SKU, sku):
            wrong_parameter("sku", "Has a form that is not allowed.")
        try:
            with database.transaction() as connection:
                now = DatabaseClock().now(connection)
                who = current().id
                receipt = receive(
                    connection, now, principal=who, sku=sku, key=header["key"], quantity=goods["quantity"]
                )
        except KeyReused as error:
            wrong_parameter("Idempotency-Key", f"Cannot be used again: {error}.", "key-used-otherwise")
        except KeyInUse:
            detail = "The same receipt is being taken in at this instant."
            problem(409, detail, kind="key-in-use", headers={"Retry-After": "1"})
        shown = {name: each for name, each in asdict(receipt).items() if name not in ("principal", "key")}
        return reply(shown, 201)

    return routes
