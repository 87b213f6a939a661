"""How an order looks, from its row to its readers: the one room that a new field of the order passes through.

`tables.orders` has the column; here it is read (`order_from`), written (`order_row`), shown (`order_view`) and declared
(`OrderView`, which the API's documentation is made from).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypedDict

import msgspec

from order_service.fulfillment.saga import Kind, OrderStatus, Reason, Saga, StepStatus, Workflow
from order_service.fulfillment.workflow import amounts
from order_service.store import Row, json, saga_from
from order_service.terms import Flows, flow_of
from shared.database import timestamp

Id = Annotated[str, msgspec.Meta(extra_json_schema={"format": "uuid"})]
MinorUnits = Annotated[int, msgspec.Meta(description="in minor units of the currency")]

_json = msgspec.json.Decoder()


@dataclass(frozen=True, kw_only=True)
class Order:
    """An order as it was placed, which never changes, and how it stands. `version` is the number of its last history
    entry."""

    id: str
    customer_id: str
    lines: Sequence[Mapping[str, Any]]  # see LineView
    total: int
    currency: str
    ship_to: Mapping[str, str]
    placed_at: datetime
    status: OrderStatus
    reason: Reason | None = None
    reason_detail: str | None = None
    needs_attention: bool = False
    forgotten_at: datetime | None = None
    saga: Saga
    workflow_version: int
    version: int
    updated_at: datetime


def order_from(row: Row) -> Order:
    """The order in a row of `orders` joined with `sagas`."""
    return Order(
        id=row["id"],
        customer_id=row["customer_id"],
        lines=_json.decode(row["lines"]),
        total=row["total"],
        currency=row["currency"],
        ship_to=_json.decode(row["ship_to"]),
        placed_at=row["placed_at"],
        status=OrderStatus(row["status"]),
        reason=Reason(row["reason"]) if row["reason"] else None,
        reason_detail=row["reason_detail"],
        needs_attention=row["needs_attention"],
        forgotten_at=row["forgotten_at"],
        saga=saga_from(row),
        workflow_version=row["workflow_version"],
        version=row["version"],
        updated_at=row["updated_at"],
    )


def order_row(order: Order) -> Row:
    """The columns of `orders`, for `store.add_orders`."""
    return {
        "id": order.id,
        "customer_id": order.customer_id,
        "lines": json(order.lines),
        "total": order.total,
        "currency": order.currency,
        "ship_to": json(order.ship_to),
        "placed_at": timestamp(order.placed_at),
        "status": order.status,
        "reason": order.reason,
        "reason_detail": order.reason_detail,
        "needs_attention": order.needs_attention,
        "forgotten_at": order.forgotten_at and timestamp(order.forgotten_at),
    }


class LineView(TypedDict):
    sku: str
    name: str
    quantity: int
    unit_price: MinorUnits
    line_total: MinorUnits


class ShipToView(TypedDict):
    """Where the parcel goes."""

    name: str
    line1: str
    city: str
    postal_code: str
    country: str


class AmountsView(TypedDict):
    """What became of the money."""

    authorized: MinorUnits
    captured: MinorUnits
    voided: MinorUnits
    refunded: MinorUnits


class StepView(TypedDict):
    """A step of the workflow, also one that is still to come."""

    name: str
    kind: Kind
    status: StepStatus
    attempts: int
    requested_at: datetime | None
    settled_at: datetime | None
    deadline: datetime | None
    problem: Annotated[str | None, msgspec.Meta(description="why a person must, or had to, look at it")]


class OrderView(TypedDict):
    """An order and how it stands. `version` grows by one with every entry of its history."""

    id: Id
    status: OrderStatus
    needs_attention: bool
    reason: Reason | None
    reason_detail: str | None
    customer_id: str
    lines: Sequence[LineView]
    total: MinorUnits
    currency: str
    ship_to: ShipToView
    forgotten_at: Annotated[
        datetime | None, msgspec.Meta(description="when the address, but for its country, and the token were removed")
    ]
    carrier: str | None
    tracking_number: str | None
    payment: AmountsView
    steps: Sequence[StepView]
    version: int
    placed_at: datetime
    updated_at: datetime


class EntryView(TypedDict):
    """One line of an order's history: what was heard, from whom, and all that was done about it."""

    seq: int
    at: datetime
    event: str
    message_id: Id | None
    actor: str
    step: str | None
    outcome: Annotated[str, msgspec.Meta(description="`acted`, or why it was only noted")]
    detail: str | None
    did: Sequence[str]
    from_status: OrderStatus
    to_status: OrderStatus


def order_view(order: Order, flow: Workflow) -> OrderView:
    """The order with all its steps, also those to come. `flow` is the version of the workflow that it began with."""
    saga = order.saga
    return {
        "id": order.id,
        "status": order.status,
        "needs_attention": order.needs_attention,
        "reason": order.reason,
        "reason_detail": order.reason_detail,
        "customer_id": order.customer_id,
        "lines": order.lines,  # type: ignore[typeddict-item]  # as `price` makes them
        "total": order.total,
        "currency": order.currency,
        "ship_to": order.ship_to,  # type: ignore[typeddict-item]  # checked when it came in
        "forgotten_at": order.forgotten_at,
        "carrier": saga.facts.get("carrier"),
        "tracking_number": saga.facts.get("tracking_number"),
        "payment": amounts(saga.facts),  # type: ignore[typeddict-item]
        "steps": [
            {
                "name": step.name,
                "kind": step.kind,
                "status": progress.status,
                "attempts": progress.attempts,
                "requested_at": progress.requested_at,
                "settled_at": progress.settled_at,
                "deadline": progress.deadline,
                "problem": saga.problem(step) or (progress.problem.words if progress.problem else None),
            }
            for step in flow.steps
            for progress in [saga.steps[step.name]]
        ],
        "version": order.version,
        "placed_at": order.placed_at,
        "updated_at": order.updated_at,
    }


def entry_view(row: Row) -> EntryView:
    """A line of history, from its row."""
    columns = {name: value for name, value in row.items() if name not in ("order_id", "position", "hash")}
    return {**columns, "did": _json.decode(row["did"])}  # type: ignore[typeddict-item]  # the columns are its keys


@dataclass(frozen=True)
class Show:
    """Shows orders of every version of the workflow."""

    flows: Flows

    def __call__(self, order: Order) -> OrderView:
        """The order as its readers see it. Raises UnknownVersion."""
        return order_view(order, flow_of(self.flows, order.id, order.workflow_version))


def as_bytes(view: Any) -> bytes:
    """A view, or several, as JSON; moments in RFC 3339, UTC."""
    return msgspec.json.encode(view)
