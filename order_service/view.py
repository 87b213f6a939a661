"""An order as its readers see it: the one rendering for the API, the stored answers and the command line."""

from typing import Any

import msgspec

from order_service.domain import Record
from order_service.fulfillment.saga import Workflow
from order_service.fulfillment.workflow import amounts


def order_view(record: Record, flow: Workflow) -> dict[str, Any]:
    """The order with all its steps, also those to come. `flow` is the version of the workflow that it began with."""
    order, saga = record.order, record.saga
    return {
        "id": order.id,
        "status": order.status,
        "needs_attention": order.needs_attention,
        "reason": order.reason,
        "reason_detail": order.reason_detail,
        "customer_id": order.customer_id,
        "lines": order.lines,
        "total": order.total,
        "currency": order.currency,
        "ship_to": order.ship_to,
        "carrier": saga.facts.get("carrier"),
        "tracking_number": saga.facts.get("tracking_number"),
        "payment": amounts(saga.facts),
        "steps": [
            {
                "name": step.name,
                "kind": step.kind,
                "status": progress.status,
                "attempts": progress.attempts,
                "requested_at": progress.requested_at,
                "settled_at": progress.settled_at,
                "deadline": progress.deadline,
            }
            for step in flow.steps
            for progress in [saga.steps[step.name]]
        ],
        "version": record.version,
        "placed_at": order.placed_at,
        "updated_at": record.updated_at,
    }


def as_bytes(view: Any) -> bytes:
    """A view, or several, as JSON; moments in RFC 3339, UTC."""
    return msgspec.json.encode(view)
