"""What is asked about orders: one, many, their history, and whether there is news."""

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, select

from order_service.fulfillment.saga import OrderStatus
from order_service.store import Row
from order_service.tables import attention, awake, orders, saga_history, sagas, turned_back
from order_service.view import EntryView, Order, entry_view, order_from
from shared.database import Id, batch_rows

# The saga's own reason and attention are the same as the order's; the order's columns are the ones that are indexed.
_order = select(
    orders, *(c for c in sagas.c if c.name not in ("order_id", "reason", "reason_detail", "needs_attention"))
).join(sagas, sagas.c.order_id == orders.c.id)
_find = _order.where(orders.c.id == bindparam("id"))  # built once: building costs more than reading
_wanted = batch_rows("wanted", id=Id)
_find_all = _order.join(_wanted, orders.c.id == _wanted.c.id)


def find_order(connection: Connection, order_id: str) -> Order | None:
    row = connection.execute(_find, {"id": order_id}).mappings().first()
    return order_from(row) if row else None


def find_rows(connection: Connection, order_ids: Collection[str]) -> dict[str, Row]:
    """What `order_from` reads, by order id, of many orders at once. Unknown orders are left out."""
    wanted = [{"id": each} for each in set(order_ids)]
    return {row["id"]: row for row in connection.execute(_find_all, {"wanted": wanted}).mappings()}


def list_orders(
    connection: Connection,
    *,
    customer_id: str | None = None,
    status: OrderStatus | None = None,
    needs_attention: bool | None = None,
    before: str | None = None,
    limit: int,
) -> list[Order]:
    """At most `limit` orders, the newest first, from behind the order id `before` on; ids are time-ordered.

    Each filter has an index to walk, except a status of orders that are done: those are found by walking down the ids.
    """
    wanted = _order.order_by(orders.c.id.desc()).limit(limit)
    if customer_id is not None:
        wanted = wanted.where(orders.c.customer_id == customer_id)
    if needs_attention is not None:
        wanted = wanted.where(attention if needs_attention else ~attention)
    if status is not None:
        wanted = wanted.where(orders.c.status == status)
        if status in (OrderStatus.CANCELLING, OrderStatus.CANCELLED):
            wanted = wanted.where(turned_back)
        elif not status.final and customer_id is None:
            wanted = wanted.where(awake)
    if before is not None:
        wanted = wanted.where(orders.c.id < before)
    return [order_from(row) for row in connection.execute(wanted).mappings()]


def history(connection: Connection, order_id: str, *, after: int = 0, limit: int = 200) -> list[EntryView]:
    """At most `limit` entries of an order's history by `seq`, from behind `after` on. None is ever missing."""
    wanted = (
        select(saga_history)
        .where(saga_history.c.order_id == order_id, saga_history.c.seq > after)
        .order_by(saga_history.c.seq)
        .limit(limit)
    )
    return [entry_view(row) for row in connection.execute(wanted).mappings()]


def versions(connection: Connection, order_ids: Collection[str]) -> dict[str, int]:
    """The number of each order's last history entry, by order id; cheap to ask often. Unknown orders are left out."""
    wanted = select(sagas.c.order_id, sagas.c.version).where(sagas.c.order_id.in_(order_ids))
    return {row.order_id: row.version for row in connection.execute(wanted)}
