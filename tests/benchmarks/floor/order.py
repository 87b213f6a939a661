"""One order in the same bytes as ours: what is said about it, who answers what, and the texts that its rows hold."""

import json
import secrets
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

ANSWERS = {  # what a participant answers
    "payment.requested": "payment.authorized",
    "stock.requested": "stock.reserved",
    "shipment.requested": "shipment.booked",
    "capture.requested": "payment.captured",
    "stock.issue_requested": "stock.issued",
    "dispatch.requested": "shipment.dispatched",
}
ASKED = {  # what the order service asks when it has heard so many answers
    0: ("payment.requested", "stock.requested"),
    2: ("shipment.requested",),
    3: ("capture.requested",),
    4: ("stock.issue_requested", "dispatch.requested"),
}
ALL = 6  # answers of which an order has ended
STATUS = ("pending", "pending", "confirmed", "confirmed", "paid", "paid", "fulfilled")  # by number of answers heard
DID = ('["payment requested","inventory requested"]', "[]", '["approval skipped","shipping requested"]',
       '["capture requested"]', '["issue requested","dispatch requested"]', "[]", "[]")  # fmt: skip
ABOUT = {  # whom the history names for an answer, and which step
    "payment.authorized": ("payment", "payment"),
    "stock.reserved": ("inventory", "inventory"),
    "shipment.booked": ("shipping", "shipping"),
    "payment.captured": ("payment", "capture"),
    "stock.issued": ("inventory", "issue"),
    "shipment.dispatched": ("shipping", "dispatch"),
}
STEPS = {  # kind; how many answers have been heard when it is asked, and when it is done
    "payment": ("compensatable", 0, 1),
    "inventory": ("compensatable", 0, 2),
    "approval": ("compensatable", 2, 2),
    "shipping": ("compensatable", 2, 3),
    "capture": ("pivot", 3, 4),
    "issue": ("retriable", 4, 5),
    "dispatch": ("retriable", 4, 6),
}
AT = "2026-11-21T12:43:56.645665Z"
SKUS = 100
TRACKING = "NW31A416F2739802"
ADDRESS = {"name": "Ada Lovelace", "line1": "12 Analytical Row", "city": "Berlin", "postal_code": "10115",
           "country": "DE"}  # fmt: skip


class Message(NamedTuple):
    id: str
    kind: str
    order_id: str
    cause: str | None
    body: bytes


def new_ids(count: int) -> list[str]:
    """UUIDs of this moment (version 7), as many at once as are needed."""
    at, random = f"{int(time.time() * 1000):012x}", secrets.token_hex(9 * count)
    head = f"{at[:8]}-{at[8:]}-7"
    parts = (random[start : start + 18] for start in range(0, 18 * count, 18))
    return [f"{head}{part[:3]}-8{part[3:6]}-{part[6:]}" for part in parts]


def new_orders(first: int, count: int) -> list[str]:
    """Ids of the orders from number `first` on; they end in what is ordered, so that nobody has to remember it."""
    return [f"{new[:-4]}{number % SKUS:04x}" for number, new in enumerate(new_ids(count), first)]


def sku_of(order_id: str) -> str:
    """What is ordered: the products in turn."""
    return f"SKU-{int(order_id[-4:], 16)}"


def written(template: bytes, order_id: str) -> bytes:
    """A text about this order."""
    about = template.replace(b"ORDER", order_id.encode())
    return about.replace(b"SKU-", sku_of(order_id).encode()) if b"SKU-" in about else about


def said(kinds: Sequence[tuple[str, str, str | None]]) -> list[Message]:
    """New messages of these kinds, about these orders, for these causes."""
    return [
        Message(new, kind, order_id, cause, written(BODIES[kind], order_id))
        for new, (kind, order_id, cause) in zip(new_ids(len(kinds)), kinds, strict=True)
    ]


def _steps(heard: int) -> bytes:
    """The saga's steps: status, attempts, requested at, settled at, deadline, problem."""

    def progress(asked: int, done: int) -> list[Any]:
        if heard < asked:
            return ["waiting", 0, None, None, None, None]
        if asked == done:
            return ["skipped", 0, None, AT, None, None]
        return ["done", 1, AT, AT, None, None] if heard >= done else ["requested", 1, AT, None, AT, None]

    return _json({name: progress(asked, done) for name, (_, asked, done) in STEPS.items()})


def _facts(heard: int) -> bytes:
    known: dict[str, Any] = {"order_id": "ORDER", "amount": 100, "currency": "EUR", "payment_token": "tok_visa",
                             "lines": [{"sku": "SKU-", "quantity": 1}], "ship_to": ADDRESS,
                             "needs_approval": False}  # fmt: skip
    if heard >= 2:
        known |= {"authorization_id": "authorize-ORDER", "authorized": 100}
    if heard >= 3:
        known |= {"carrier": "northwind-parcels", "tracking_number": TRACKING}
    if heard >= 4:
        known["captured"] = 100
    return _json(known)


def _answered() -> bytes:
    """What the customer got, which the idempotency key keeps."""

    def step(name: str, kind: str, asked: bool) -> dict[str, Any]:
        return {"name": name, "kind": kind, "status": "requested" if asked else "waiting", "attempts": int(asked),
                "requested_at": AT if asked else None, "settled_at": None,
                "deadline": AT if asked else None, "problem": None}  # fmt: skip

    return _json({
        "id": "ORDER", "status": "pending", "needs_attention": False, "reason": None, "reason_detail": None,
        "customer_id": "alice", "lines": PRICED, "total": 100, "currency": "EUR", "ship_to": ADDRESS,
        "carrier": None, "tracking_number": None,
        "payment": {"authorized": 0, "captured": 0, "voided": 0, "refunded": 0},
        "steps": [step(name, kind, asked == 0) for name, (kind, asked, _) in STEPS.items()],
        "version": 1, "placed_at": AT, "updated_at": AT,
    })  # fmt: skip


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


_LINES = [{"sku": "SKU-", "quantity": 1}]
PRICED = [{"sku": "SKU-", "name": "Goods 63", "quantity": 1, "unit_price": 100, "line_total": 100}]
_MORE: dict[str, dict[str, Any]] = {
    "payment.requested": {"amount": 100, "currency": "EUR", "payment_token": "tok_visa"},
    "payment.authorized": {"authorization_id": "authorize-ORDER", "authorized": 100},
    "stock.requested": {"lines": _LINES},
    "stock.reserved": {},
    "shipment.requested": {"lines": _LINES, "ship_to": ADDRESS},
    "shipment.booked": {"carrier": "northwind-parcels", "tracking_number": TRACKING},
    "capture.requested": {"authorization_id": "authorize-ORDER", "amount": 100},
    "payment.captured": {"captured": 100},
    "stock.issue_requested": {},
    "stock.issued": {},
    "dispatch.requested": {"tracking_number": TRACKING},
    "shipment.dispatched": {"carrier": "northwind-parcels", "tracking_number": TRACKING},
}
BODIES = {kind: _json({"order_id": "ORDER"} | more) for kind, more in _MORE.items()}
SHIP_TO, LINES, RESPONSE = _json(ADDRESS), _json(PRICED), _answered()
STEPS_AFTER = [_steps(heard) for heard in range(ALL + 1)]
FACTS_AFTER = {heard: _facts(heard) for heard in (0, 2, 3, 4)}  # nothing becomes known in between
