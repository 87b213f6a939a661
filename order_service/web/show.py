"""How an order looks to its readers, and what they are told when it cannot be moved."""

import logging
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response

from order_service.commands import Conflict, NotFound
from order_service.domain import Record
from order_service.sagas import Flows, UnknownVersion, flow_of
from order_service.view import order_view
from shared.http.problems import problem_response

log = logging.getLogger("fulfillment.orders")


@dataclass(frozen=True)
class Show:
    """Renders orders of every version of the workflow."""

    flows: Flows

    def __call__(self, record: Record) -> dict[str, Any]:
        return order_view(record, flow_of(self.flows, record.order.id, record.workflow_version))


def handle_refusals(app: Flask) -> None:
    """Answer 404, 409 and 503 where an order cannot be shown or moved; a conflict tells the order's status."""

    def not_found(error: NotFound) -> Response:
        return problem_response(404, str(error))

    def too_new(error: UnknownVersion) -> Response:
        log.error("%s", error)
        return problem_response(503, "This order is newer than the program that answers.", headers={"Retry-After": "5"})

    def conflict(error: Conflict) -> Response:
        return problem_response(409, error.detail, order_status=error.status)

    app.register_error_handler(NotFound, not_found)
    app.register_error_handler(UnknownVersion, too_new)
    app.register_error_handler(Conflict, conflict)
