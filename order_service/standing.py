"""How the orders under way stand, in numbers: measured now and then, from indexes of those that are not at rest."""

from datetime import datetime

from prometheus_client import Gauge
from sqlalchemy import Connection, func, select

from order_service.fulfillment.saga import OrderStatus
from order_service.measures import age_of
from order_service.store import saga_from
from order_service.tables import attention, awake, orders, sagas
from order_service.terms import Flows, flow_of

OPEN = Gauge("fulfillment_orders_open", "Orders under way.", ["status"])
ATTENTION = Gauge("fulfillment_orders_needing_attention", "Orders that a person must look at.")
OLDEST = Gauge("fulfillment_orders_oldest_open_age_seconds", "Age of the oldest order under way; 0 without any.")
PARKED = Gauge("fulfillment_steps_parked", "Steps that need a person, counted up to 1,000 orders.", ["step"])

LOOKED_AT = 1_000  # orders that need attention
_under_way = select(orders.c.status, func.count()).join(sagas, sagas.c.order_id == orders.c.id).where(awake)
_by_status = _under_way.group_by(orders.c.status)
_oldest = select(func.min(sagas.c.order_id)).where(awake)
_attention = select(func.count()).select_from(orders).where(attention)
_parked = select(sagas).join(orders, orders.c.id == sagas.c.order_id).where(attention).limit(LOOKED_AT)


def measure(connection: Connection, flows: Flows, now: datetime) -> None:
    """Look how the orders under way stand. Each query is answered by an index of those that are not at rest."""
    standing = dict.fromkeys((status for status in OrderStatus if not status.final), 0)
    for status, number in connection.execute(_by_status):
        standing[OrderStatus(status)] = number
    for status, number in standing.items():
        OPEN.labels(status).set(number)
    oldest = connection.execute(_oldest).scalar_one()
    OLDEST.set(age_of(oldest, now) if oldest else 0.0)
    ATTENTION.set(connection.execute(_attention).scalar_one())
    parked = dict.fromkeys((name for flow in flows.values() for name in flow.named), 0)
    for row in connection.execute(_parked).mappings():
        saga = saga_from(row)
        for step in flow_of(flows, row["order_id"], row["workflow_version"]).steps:
            parked[step.name] += saga.problem(step) is not None
    for name, number in parked.items():
        PARKED.labels(name).set(number)
