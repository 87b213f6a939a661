"""What the documentation of the Order API shows for each field: an order of Ada's, paid and on its way."""

from collections.abc import Mapping
from typing import Any

from order_service.web.schemas import EXAMPLE

FIELDS: Mapping[str, Any] = {
    "sku": "POPULAR-LAMP",
    "quantity": 2,
    "currency": "EUR",
    "unit_price": 2499,
    "Line.name": "Popular lamp",
    "Line.line_total": 4998,
    "Order.status": "paid",
    "Order.customer_id": "ada",
    "Order.total": 4998,
    "Order.ship_to": EXAMPLE["ship_to"],
    "Order.carrier": "northwind-parcels",
    "Order.tracking_number": "NW0123456789ABCD",
    "Order.payment": {"authorized": 4998, "captured": 4998, "voided": 0, "refunded": 0},
    "Order.version": 12,
    "Step.name": "dispatch",
    "Step.kind": "retriable",
    "Step.status": "requested",
    "Step.requested_at": "2026-11-28T12:00:00Z",
    "Step.deadline": "2026-11-28T12:01:00Z",
    "Entry.seq": 2,
    "Entry.event": "payment.authorized",
    "Entry.actor": "payment",
    "Entry.step": "payment",
    "Entry.outcome": "acted",
    "Entry.did": [],
    "Action.name": "retry",
    "Action.step": "dispatch",
    "Action.label": "Ask now",
    "Action.meaning": "Count the attempts anew.",
    "Action.allowed": True,
    "Participants.status": "paid",
    "Participants.rebuilt_status": "paid",
    "Saying.service": "payment",
    "Saying.status": "captured",
    "Saying.differences": [],
    "Product.name": "Popular lamp",
    "Forgotten.customer_id": "ada",
    "Forgotten.orders": 3,
    "Forgotten.finished": True,
}
