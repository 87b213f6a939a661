"""The inventory's books: reservations against what was moved for them, and stock against all movements."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select

from order_service.cli.system.audit.reading import OrderId, Span, rows, rows_of, table
from order_service.cli.system.audit.violations import Broken, Violation

_stock, _moved = table("inventory", "stock"), table("inventory", "stock_movements")
_reservations, _receipts = table("inventory", "reservations"), table("inventory", "receipts")

# What was moved for an order when its reservation stands so; nothing else was.
MOVED = {"reserved": {"reserved"}, "released": {"reserved", "released"}, "issued": {"reserved", "issued"}}
EFFECT = {"received": (1, 0), "reserved": (0, 1), "released": (0, -1), "issued": (-1, -1)}  # on (on_hand, reserved)

Moved = Counter[tuple[str, str]]  # quantity by (sku, kind)


@dataclass
class Reservation:
    """What is known of one order's goods."""

    row: Mapping[str, Any] | None = None
    moved: dict[tuple[str, str], int] = field(default_factory=dict)  # by (sku, kind)

    @property
    def status(self) -> str:
        return str(self.row["status"]) if self.row else "none"

    @property
    def lines(self) -> Mapping[str, int]:
        return self.row["lines"] if self.row else {}

    @property
    def issued(self) -> dict[str, int]:
        """What has left the stock, by the movements."""
        return {sku: quantity for (sku, kind), quantity in self.moved.items() if kind == "issued"}

    @property
    def held(self) -> bool:
        """Whether something is still reserved, or gone, by the movements."""
        left: Counter[str] = Counter()
        for (sku, kind), quantity in self.moved.items():
            left[sku] += {"reserved": quantity, "released": -quantity}.get(kind, 0)
        return any(left.values())

    def missing(self) -> dict[tuple[str, str], int]:
        """What would have to be moved besides for the reservation to stand as it does, by (sku, kind)."""
        kinds = MOVED.get(self.status, set())
        if self.status == "released" and not self.moved:
            kinds = set()  # it was never to be had
        expected = {(sku, kind): quantity for sku, quantity in self.lines.items() for kind in kinds}
        differences = {
            key: expected.get(key, 0) - self.moved.get(key, 0) for key in expected.keys() | self.moved.keys()
        }
        return {key: quantity for key, quantity in differences.items() if quantity}

    def tables(self) -> dict[str, Any]:
        """The rows, for people."""
        row = {name: self.row[name] for name in ("status", "lines", "detail")} if self.row else None
        moved = [
            {"sku": sku, "kind": kind, "quantity": quantity} for (sku, kind), quantity in sorted(self.moved.items())
        ]
        return {"inventory.reservations": row, "inventory.stock_movements": moved}


@dataclass
class Goods:
    """All goods together, as they were at one moment."""

    moved: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # by sku, by kind
    on_hand: dict[str, int] = field(default_factory=dict)
    receipts: int = 0
    movements: int = 0


def read_reservations(connection: Connection, span: Span) -> dict[OrderId, Reservation]:
    """The goods of the orders of this span."""
    found: dict[OrderId, Reservation] = defaultdict(Reservation)
    for row in rows_of(connection, _reservations, span):
        found[row["order_id"]].row = row
    for_orders = select(_moved).where(span.holds(_moved.c.reference), _moved.c.kind != "received")
    for row in rows(connection, for_orders):
        found[row["reference"]].moved[row["sku"], row["kind"]] = row["quantity"]
    return dict(found)


def check_reservation(order_id: OrderId, reservation: Reservation, unexplained: Moved) -> Iterator[Violation]:
    """For each order exactly that moved which its reservation says; what is missing is added to `unexplained`."""
    if missing := reservation.missing():
        for (sku, kind), quantity in missing.items():
            unexplained[sku, kind] += quantity
        moved = {key: reservation.moved.get(key, 0) for key in missing}
        told = ", ".join(
            f"{n} {sku} {kind} instead of {n + missing[sku, kind]}" for (sku, kind), n in sorted(moved.items())
        )
        what = f"{reservation.status}, but {told}"
        yield Violation(Broken.MOVEMENTS_DIFFER, order_id, what, reservation.tables())


def read_goods(connection: Connection) -> tuple[Goods, dict[str, dict[str, Any]]]:
    """The sums of all movements by product, and the stock of each product: one moment's."""
    goods = Goods()
    sums = select(_moved.c.sku, _moved.c.kind, func.sum(_moved.c.quantity), func.count())
    for sku, kind, quantity, count in connection.execute(sums.group_by(_moved.c.sku, _moved.c.kind)):
        goods.moved[sku][kind] = int(quantity)
        goods.movements += count
    stock = {row["sku"]: row for row in rows(connection, select(_stock))}
    goods.on_hand = {sku: row["on_hand"] for sku, row in stock.items()}
    return goods, stock


def check_stock(goods: Goods, stock: Mapping[str, Any], unexplained: Moved) -> Iterator[Violation]:
    """What is on hand, and reserved, is the sum of what moved; what a reservation says and no movement does, is told
    of by then, and may have been in the stock or not."""
    for sku in sorted(goods.moved.keys() | stock.keys()):
        moved, row = goods.moved[sku], stock.get(sku)
        shown = (row["on_hand"], row["reserved"]) if row else (0, 0)
        missing: Counter[str] = Counter({kind: n for (name, kind), n in unexplained.items() if name == sku})
        by_movements, with_missing = _effect(moved), _effect({kind: moved[kind] + missing[kind] for kind in EFFECT})
        if shown not in (by_movements, with_missing):
            names = ("on_hand", "reserved")
            what = ", ".join(
                f"{n} should be {a}, is {b}" for n, a, b in zip(names, by_movements, shown, strict=True) if a != b
            )
            yield Violation(
                Broken.STOCK_DIFFERS, sku, what, {"inventory.stock": row, "inventory.stock_movements": moved}
            )


def check_receipts(connection: Connection, goods: Goods, unexplained: Moved) -> Iterator[Violation]:
    """Goods come in by receipts, and each receipt has brought its goods; what differs is added to `unexplained`."""
    taken = _receipts.c.principal + "/" + _receipts.c.key
    same = (_moved.c.reference == taken) & (_moved.c.sku == _receipts.c.sku) & (_moved.c.kind == "received")
    agreed = same & (_moved.c.quantity == _receipts.c.quantity)
    without = select(_moved).where(_moved.c.kind == "received", ~select(_receipts.c.key).where(agreed).exists())
    for row in connection.execute(without).mappings():
        what = f"{row['quantity']} received as {row['reference']}"
        unexplained[row["sku"], "received"] -= row["quantity"]
        yield Violation(Broken.NO_RECEIPT, row["sku"], what, {"inventory.stock_movements": dict(row)})
    empty = select(_receipts).where(~select(_moved.c.sku).where(same).exists())
    for row in connection.execute(empty).mappings():
        what = f"{row['quantity']} by the receipt {row['principal']}/{row['key']}"
        unexplained[row["sku"], "received"] += row["quantity"]
        yield Violation(Broken.RECEIPT_WITHOUT_GOODS, row["sku"], what, {"inventory.receipts": dict(row)})
    goods.receipts = int(connection.execute(select(func.count()).select_from(_receipts)).scalar_one())


def _effect(moved: Mapping[str, int]) -> tuple[int, int]:
    effects = [(EFFECT[kind][0] * n, EFFECT[kind][1] * n) for kind, n in moved.items() if kind in EFFECT]
    return sum(on_hand for on_hand, _ in effects), sum(reserved for _, reserved in effects)
