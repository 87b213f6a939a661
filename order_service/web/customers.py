"""Customers as persons: an operator has one forgotten."""

from flask import Response
from marshmallow import Schema, fields

from order_service.forgetting import Persons, StillOpen
from shared.api_keys import Principal, Role
from shared.http.app import Routes, problems, reply
from shared.http.auth import requires
from shared.http.problems import problem


class ForgottenSchema(Schema):
    """What was removed."""

    customer_id = fields.String(required=True)
    orders = fields.Integer(required=True, metadata={"description": "from which address and token were removed now"})
    finished = fields.Boolean(required=True, metadata={"description": "whether that was all; else call again"})


def customer_routes(persons: Persons) -> Routes:
    routes = Routes("customers", "Customers as persons. For operators.")

    @routes.route("/customers/<customer_id>/forget", methods=["POST"])
    @problems(404, 409)
    @requires("operator", heavy=True)
    @routes.response(200, ForgottenSchema)
    def forget_customer(customer_id: str) -> Response:
        """Forget a person.

        Addresses and payment tokens go, here and at the other services, and what was answered to the customer's keys.
        Orders, amounts and history stay. Orders under way must end first. Take the customer's API key away before.
        """
        if not _is_customer_id(customer_id):
            problem(404, "Nobody can be called so.")
        try:
            done = persons.forget(customer_id)
        except StillOpen as error:
            problem(
                409,
                f"Of {customer_id}, orders are under way, which must end or be cancelled first: {error}.",
                kind="orders-under-way",
            )
        return reply({"customer_id": customer_id, "orders": done.orders, "finished": done.finished})

    return routes


def _is_customer_id(text: str) -> bool:
    """Whether orders can be those of somebody called so: a customer's name, or `operator:` and an operator's."""
    role, colon, name = text.rpartition(":")
    try:
        return Principal.named(Role(role) if colon else Role.CUSTOMER, name).customer_id == text
    except ValueError:
        return False
