"""Stock in its database: one row per product, one per order, and a ledger of every movement of goods."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import asdict
from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Integer,
    RowMapping,
    String,
    Table,
    insert,
    select,
    update,
)

from inventory_service.domain import EFFECT, Kind, Reservation, Status, Stock
from shared.contracts import StockRequested
from shared.database import BigInt, Id, Json, OrderRows, Transaction, UtcDateTime, batch_rows, metadata, timestamp
from shared.database.grants import APPEND_ONLY, WEB_WRITES
from shared.messaging.durability.tables import Tables
from shared.messaging.envelope import Envelope
from shared.messaging.handling import Answers

METADATA = metadata()
TABLES = Tables(METADATA)

stock = Table(
    "stock",
    METADATA,
    Column("sku", String(64), primary_key=True),
    Column("on_hand", BigInt, nullable=False),
    Column("reserved", BigInt, nullable=False),
    CheckConstraint("reserved >= 0 AND on_hand >= reserved", name="never_oversold"),
    postgresql_with={"fillfactor": 50},
    info=WEB_WRITES,
)
reservations = Table(
    "reservations",
    METADATA,
    Column("order_id", Id, primary_key=True),
    Column("status", String(16), nullable=False),
    Column("lines", Json, nullable=False),  # quantity by sku
    Column("detail", String(200)),
    Column("version", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    postgresql_with={"fillfactor": 70},
)
movements = Table(
    "stock_movements",
    METADATA,
    Column("reference", String(200), primary_key=True),  # the order, or the receipt that brought the goods
    Column("sku", String(64), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("quantity", Integer, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    info=APPEND_ONLY | WEB_WRITES,
)

_rows = OrderRows(reservations)
_wanted = batch_rows("wanted", sku=String)
_look = select(stock).join(_wanted, stock.c.sku == _wanted.c.sku).order_by(stock.c.sku).with_for_update(of=stock)
_change = batch_rows("change", sku=String, on_hand=BigInt, reserved=BigInt)
_apply = (
    update(stock)
    .values(on_hand=stock.c.on_hand + _change.c.on_hand, reserved=stock.c.reserved + _change.c.reserved)
    .where(stock.c.sku == _change.c.sku)
)
_moved = batch_rows("moved", **{c.name: c.type for c in movements.c})
_enter = insert(movements).from_select([c.name for c in movements.c], select(*_moved.c))


class StockRoom:
    """The reservations of one batch and the products that they may move. What is put is written by `flush`."""

    def __init__(self, rows: Mapping[str, Mapping[str, Any]], connection: Transaction, now: datetime) -> None:
        self.cause: Envelope | None = None
        self.stock: dict[str, Stock] = {}
        self._connection, self._now, self._rows = connection, timestamp(now), rows
        self._after = {order_id: reservation_from(row) for order_id, row in rows.items()}
        self._changed: dict[str, None] = {}
        self._moved: list[tuple[str, str, Kind, int]] = []

    @classmethod
    def load(cls, connection: Transaction, requests: Sequence[Any], now: datetime, _: Answers) -> "StockRoom":
        """Read, under lock in key order, the reservations of these requests, then the products that they may move."""
        room = cls(_rows.load(connection, {each.order_id for each in requests}), connection, now)
        new = (each for each in requests if isinstance(each, StockRequested) and each.order_id not in room._rows)
        held = (each.lines for each in room._after.values() if each.status is Status.RESERVED)
        if skus := {line.sku for each in new for line in each.lines}.union(*held):
            found = connection.execute(_look, {"wanted": [{"sku": sku} for sku in skus]})
            room.stock = {row.sku: Stock(on_hand=row.on_hand, reserved=row.reserved) for row in found}
        return room

    def find(self, order_id: str) -> Reservation | None:
        return self._after.get(order_id)

    def put(self, reservation: Reservation, moves: Kind | None = None) -> Reservation:
        """Keep it as it now is; with `moves`, all its lines move so."""
        self._after[reservation.order_id] = reservation
        self._changed[reservation.order_id] = None
        if moves:
            for sku, quantity in reservation.lines.items():
                self.stock[sku] = self.stock[sku].moved(moves, quantity)
                self._moved.append((reservation.order_id, sku, moves, quantity))
        return reservation

    def flush(self) -> None:
        """Write what changed; raises RowsChanged if another worker wrote the same reservation."""
        _rows.save(self._connection, [self._row(self._after[each]) for each in self._changed])
        if self._moved:
            self._connection.execute(_apply, {"change": sums(self._moved)})
            entries = [
                {"reference": order_id, "sku": sku, "kind": kind, "quantity": quantity, "at": self._now}
                for order_id, sku, kind, quantity in self._moved
            ]
            self._connection.execute(_enter, {"moved": entries})

    def _row(self, reservation: Reservation) -> dict[str, Any]:
        before = self._rows.get(reservation.order_id)
        return {
            **asdict(reservation),
            "version": before["version"] + 1 if before else 1,
            "created_at": self._now,  # of a new row; an update leaves it alone
            "updated_at": self._now,
        }


def sums(moved: Sequence[tuple[str, str, Kind, int]]) -> list[dict[str, Any]]:
    """What movements of (reference, sku, kind, quantity) do to each product together."""
    change: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for _, sku, kind, quantity in moved:
        for column, effect in enumerate(EFFECT[kind]):
            change[sku][column] += effect * quantity
    return [{"sku": sku, "on_hand": on_hand, "reserved": held} for sku, (on_hand, held) in change.items()]


def reservation_from(row: Mapping[str, Any]) -> Reservation:
    status = Status(row["status"])
    return Reservation(order_id=row["order_id"], status=status, lines=row["lines"], detail=row["detail"])


def find_reservation(connection: Connection, order_id: str) -> RowMapping | None:
    """One reservation's row, for the query API."""
    return connection.execute(select(reservations).where(reservations.c.order_id == order_id)).mappings().first()


def find_movements(connection: Connection, order_id: str) -> Sequence[RowMapping]:
    """What moved for one order, in the order in which it did."""
    wanted = select(movements).where(movements.c.reference == order_id)
    return connection.execute(wanted.order_by(movements.c.at, movements.c.sku)).mappings().all()


def list_stock(connection: Connection, *, after: str, most: int) -> Sequence[RowMapping]:
    """At most `most` products in the order of their sku, those behind `after`."""
    wanted = select(stock).where(stock.c.sku > after).order_by(stock.c.sku).limit(most)
    return connection.execute(wanted).mappings().all()
