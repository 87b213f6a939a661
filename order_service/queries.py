"""What is asked about orders: one, many, their history, and whether there is news."""

from collections.abc import Collection, Iterator
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, bindparam, func, select

from order_service.fulfillment.saga import OrderStatus, Reason
from order_service.sagas import NEVER
from order_service.store import Row
from order_service.tables import attention, awake, orders, saga_history, sagas, turned_back
from order_service.view import EntryView, Order, entry_view, order_from
from shared.database import Id, batch_rows
from shared.ids import first_id

SKU_DEPTH = 10_000
TURNED_BACK = (OrderStatus.CANCELLING, OrderStatus.CANCELLED)

# The saga's own reason and attention are the same as the order's; the order's columns are the ones that are indexed.
orders_with_sagas = select(
    orders, *(c for c in sagas.c if c.name not in ("order_id", "reason", "reason_detail", "needs_attention"))
).join(sagas, sagas.c.order_id == orders.c.id)
_find = orders_with_sagas.where(orders.c.id == bindparam("id"))  # built once: building costs more than reading
_wanted = batch_rows("wanted", id=Id)
_find_all = orders_with_sagas.join(_wanted, orders.c.id == _wanted.c.id)


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
    under_way: bool = False,
    reason: Reason | None = None,
    sku: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    prefix: str = "",
    before: str | None = None,
    limit: int,
) -> list[Order]:
    """At most `limit` orders, the newest first, from behind the order id `before` on; ids are time-ordered.

    `since` and `until` are about placing, `under_way` leaves out what is at rest, `prefix` is how the order id begins.
    Each filter has an index to walk, except a status of orders that are done and a sku: those are found by walking down
    the ids. A sku is looked for among the newest SKU_DEPTH orders that pass all other filters.
    """
    conditions = [*_standing(customer_id, status, needs_attention, reason), *_between(since, until, prefix, before)]
    conditions += [awake] if under_way else []
    wanted = orders_with_sagas.where(*conditions).order_by(orders.c.id.desc()).limit(limit)
    if sku is not None:
        newest = wanted.with_only_columns(orders.c.id, orders.c.lines).limit(SKU_DEPTH).subquery()
        ordered = select(newest.c.id).where(newest.c.lines.contains(f'"sku":"{sku}"', autoescape=True))
        wanted = wanted.where(orders.c.id.in_(ordered.order_by(newest.c.id.desc()).limit(limit)))
    return [order_from(row) for row in connection.execute(wanted).mappings()]


def _standing(
    customer_id: str | None, status: OrderStatus | None, needs_attention: bool | None, reason: Reason | None
) -> Iterator[ColumnElement[bool]]:
    """Whose orders, and how they stand; with what the index says that finds them."""
    if customer_id is not None:
        yield orders.c.customer_id == customer_id
    if needs_attention is not None:
        yield attention if needs_attention else ~attention
    if reason is not None:
        yield orders.c.reason == reason
    if reason is not None or status in TURNED_BACK:
        yield turned_back
    if status is not None:
        yield orders.c.status == status
        if customer_id is None and not status.final and status not in TURNED_BACK:
            yield awake


def _between(
    since: datetime | None, until: datetime | None, prefix: str, before: str | None
) -> Iterator[ColumnElement[bool]]:
    """Which part of the ids, which are in the order of placing.

    An upper bound is said of both tables: a database that walks down both would else begin one at its end.
    """
    if since is not None:
        yield orders.c.id >= first_id(since)
    for bound in filter(None, (first_id(until) if until else None, before)):
        yield orders.c.id < bound
        yield sagas.c.order_id < bound
    if prefix:
        first, last = _filled(prefix, "0"), _filled(prefix, "f")
        yield orders.c.id.between(first, last)
        yield sagas.c.order_id.between(first, last)


def count_orders(connection: Connection, customer_id: str | None = None) -> dict[OrderStatus, int]:
    """How many orders stand where, all or one customer's; those that nothing reads from an index alone are inferred."""
    by_status = select(orders.c.status, func.count()).group_by(orders.c.status)
    if customer_id is not None:
        found = connection.execute(by_status.where(orders.c.customer_id == customer_id))
        return {OrderStatus(status): count for status, count in found}
    under_way = by_status.join(sagas, sagas.c.order_id == orders.c.id).where(awake)
    counts = {OrderStatus(status): count for status, count in connection.execute(under_way)}
    whole = connection.execute(select(func.count()).select_from(orders)).scalar_one()
    back = connection.execute(select(func.count()).select_from(orders).where(turned_back)).scalar_one()
    counts[OrderStatus.CANCELLED] = max(0, back - counts.get(OrderStatus.CANCELLING, 0))
    forward = sum(
        count
        for status, count in counts.items()
        if status not in (OrderStatus.CANCELLED, OrderStatus.CANCELLING, OrderStatus.FULFILLED)
    )
    counts[OrderStatus.FULFILLED] = max(0, whole - back - forward)
    return counts


def count_needing_attention(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(orders).where(attention)).scalar_one())


def next_deadlines(connection: Connection, *, limit: int) -> list[Order]:
    """At most `limit` orders that wait for somebody, the one whose time comes first at the top."""
    wanted = orders_with_sagas.where(awake, sagas.c.wake_at < NEVER).order_by(sagas.c.wake_at).limit(limit)
    return [order_from(row) for row in connection.execute(wanted).mappings()]


def _filled(prefix: str, digit: str) -> str:
    """The least or greatest UUID that begins so; `prefix` is of hexadecimal digits, with or without hyphens."""
    bare = prefix.replace("-", "")[:32].ljust(32, digit)
    return "-".join((bare[:8], bare[8:12], bare[12:16], bare[16:20], bare[20:]))


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
