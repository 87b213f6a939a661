"""What can be done about an order; its steps: ask again, withdraw, settle by hand, move a deadline."""

from typing import Any
from uuid import UUID

from flask import Response

from order_service.commands import Commands, NotFound
from order_service.queries import find_order
from order_service.terms import flow_of
from order_service.view import Show
from order_service.web.actions import Action, order_actions, step_actions
from order_service.web.schemas import ActionSchema, DeadlineSchema, NoteSchema, OrderSchema, WhySchema
from shared.http.app import Routes, problems, reply
from shared.http.auth import current, requires
from shared.http.pages import listed


def step_routes(commands: Commands, show: Show) -> Routes:
    routes = Routes("steps", "For operators: what to do with a step that does not get done by itself.")
    named = sorted({name for flow in show.flows.values() for name in flow.named})
    step_in_path = {"in": "path", "name": "step", "required": True, "schema": {"type": "string", "enum": named}}
    step_path = "/orders/<uuid:order_id>/steps/<step>"

    @routes.route(f"{step_path}/retry", methods=["POST"], parameters=[step_in_path])
    @problems(404, 409)
    @requires("operator")
    @routes.arguments(WhySchema, required=False, example={"note": "the card network is back"})
    @routes.response(200, OrderSchema)
    def retry_step(body: dict[str, Any], order_id: UUID, step: str) -> Response:
        """Ask now, and count the attempts anew. Only while an answer is awaited."""
        return reply(show(commands.retry(str(order_id), step, current(), body["note"])))

    @routes.route(f"{step_path}/reverse", methods=["POST"], parameters=[step_in_path])
    @problems(404, 409)
    @requires("operator")
    @routes.arguments(WhySchema, required=False, example={"note": "the customer must not wait any longer"})
    @routes.response(200, OrderSchema)
    def reverse_step(body: dict[str, Any], order_id: UUID, step: str) -> Response:
        """Withdraw the capture while it is asked and unanswered; the order turns back."""
        return reply(show(commands.reverse(str(order_id), step, current(), body["note"])))

    @routes.route(f"{step_path}/settle", methods=["POST"], parameters=[step_in_path])
    @problems(404, 409)
    @requires("operator")
    @routes.arguments(NoteSchema, example={"note": "handed over at the counter"})
    @routes.response(200, OrderSchema)
    def settle_step(body: dict[str, Any], order_id: UUID, step: str) -> Response:
        """Take a step that needed a person for seen to.

        One that must succeed is then done, one that was being undone counts as undone, whatever is still held. One
        that can still be turned back by cancelling or reversing cannot be settled.
        """
        return reply(show(commands.settle(str(order_id), step, current(), body["note"])))

    @routes.route(step_path, methods=["PATCH"], parameters=[step_in_path])
    @problems(404, 409)
    @requires("operator")
    @routes.arguments(DeadlineSchema, example={"deadline": "2027-01-31T12:00:00Z"})
    @routes.response(200, OrderSchema)
    def move_deadline(body: dict[str, Any], order_id: UUID, step: str) -> Response:
        """Wait for an answer until another moment; only an approval may be awaited for ever."""
        moved = commands.move_deadline(str(order_id), step, body["deadline"], current(), body["note"])
        return reply(show(moved))

    @routes.route("/orders/<uuid:order_id>/actions")
    @problems(404)
    @requires()
    @routes.response(200, listed(ActionSchema))
    def get_actions(order_id: UUID) -> Response:
        """What can the caller do about the order now, and why not?"""
        who = current()
        with commands.database.reading() as connection:
            order = find_order(connection, str(order_id))
            if order is None or not who.may_see(order.customer_id):
                raise NotFound(f"There is no order {order_id}.")
            now = commands.clock.now(connection)
        flow = flow_of(show.flows, order.id, order.workflow_version)
        found = order_actions(flow, order, who, now)
        if who.is_operator:
            found += [each for of_step in step_actions(flow, order, now).values() for each in of_step]
        return reply({"items": [_shown(each, order.id) for each in found], "next": None})

    return routes


def _shown(action: Action, order_id: str) -> dict[str, Any]:
    """An action as the API tells of it."""
    named = {name: getattr(action, name) for name in ("name", "step", "label", "meaning", "allowed")}
    return {**named, "why": action.why or None, "command": action.command(order_id)}
