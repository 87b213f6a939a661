"""What a caller is told when an order cannot be shown or moved."""

import logging

from flask import Flask, Response

from order_service.commands import Conflict, NotFound
from order_service.terms import UnknownVersion
from shared.http.problems import problem_response

log = logging.getLogger("fulfillment.orders")


def handle_refusals(app: Flask) -> None:
    """Answer 404, 409 and 503; a conflict tells the order's status."""

    def not_found(error: NotFound) -> Response:
        return problem_response(404, str(error))

    def too_new(error: UnknownVersion) -> Response:
        log.error("%s", error)
        return problem_response(503, "This order is newer than the program that answers.", headers={"Retry-After": "5"})

    def conflict(error: Conflict) -> Response:
        return problem_response(409, error.detail, kind="order-state", order_status=error.status)

    app.register_error_handler(NotFound, not_found)
    app.register_error_handler(UnknownVersion, too_new)
    app.register_error_handler(Conflict, conflict)
