"""The inventory's books: stock against the ledger of movements, and reservations against what was moved for them."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, case, func, select

from order_service.cli.system.audit.reading import OrderId, Violation, side, table, unequal

_stock, _moved = table("inventory", "stock"), table("inventory", "stock_movements")
_reservations = table("inventory", "reservations")

# What was moved for an order when its reservation stands so; nothing else was.
MOVED = {"reserved": {"reserved"}, "released": {"reserved", "released"}, "issued": {"reserved", "issued"}}


class Reservation(NamedTuple):
    status: str
    lines: Mapping[str, int]  # quantity by sku


@dataclass
class Goods:
    reservations: dict[OrderId, Reservation] = field(default_factory=dict)
    moved: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # by sku, by kind
    on_hand: dict[str, int] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)


def read_goods(connection: Connection) -> Goods:
    """All reservations, what moved of each product, what is on hand, and where they differ."""
    goods = Goods()
    wanted = select(_reservations.c.order_id, _reservations.c.status, _reservations.c.lines)
    goods.reservations = {row.order_id: Reservation(row.status, row.lines) for row in connection.execute(wanted)}
    sums = select(_moved.c.sku, _moved.c.kind, func.sum(_moved.c.quantity)).group_by(_moved.c.sku, _moved.c.kind)
    for sku, kind, quantity in connection.execute(sums):
        goods.moved[sku][kind] = int(quantity)
    goods.on_hand = {row.sku: row.on_hand for row in connection.execute(select(_stock.c.sku, _stock.c.on_hand))}
    goods.violations = [*_conserved(connection), *_reserved_for_somebody(connection, goods)]
    return goods


def _conserved(connection: Connection) -> Iterator[Violation]:
    for column, signs in {
        _stock.c.on_hand: {"received": 1, "issued": -1},
        _stock.c.reserved: {"reserved": 1, "released": -1, "issued": -1},
    }.items():
        effect: Any = case(signs, value=_moved.c.kind, else_=0) * _moved.c.quantity
        for sku, ours, theirs in unequal(
            connection, side(_moved, _moved.c.sku, ours=effect), side(_stock, _stock.c.sku, theirs=column)
        ):
            yield Violation("inventory", sku, f"{column.name} should be {ours} by the ledger, is {theirs}")


def _reserved_for_somebody(connection: Connection, goods: Goods) -> Iterator[Violation]:
    """Line by line: for each order exactly that moved which its reservation says."""
    left = {
        (order_id, sku, kind): quantity
        for order_id, reservation in goods.reservations.items()
        for sku, quantity in reservation.lines.items()
        for kind in MOVED.get(reservation.status, ())
    }
    held: set[OrderId] = set()
    orders = select(_moved.c.reference, _moved.c.sku, _moved.c.kind, _moved.c.quantity)
    for order_id, sku, kind, quantity in connection.execute(orders.where(_moved.c.kind != "received")):
        held.add(order_id)
        expected = left.pop((order_id, sku, kind), 0)
        if expected != quantity:
            yield Violation("inventory", order_id, f"{quantity} {sku} {kind}, but {expected} by its reservation")
    for (order_id, sku, kind), quantity in left.items():
        if order_id in held or goods.reservations[order_id].status != "released":  # else: was never to be had
            yield Violation("inventory", order_id, f"0 {sku} {kind}, but {quantity} by its reservation")
