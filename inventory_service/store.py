"""Stock in its database: one row per product, one per order, and a ledger of every movement of goods."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Self

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
from shared import bounds
from shared.contracts import StockRequested
from shared.database import BigInt, Chars, Id, Json, Transaction, UtcDateTime, VersionedRows, batch_rows, metadata
from shared.database.grants import APPEND_ONLY, WEB_WRITES
from shared.messaging import Answers
from shared.messaging.durability.tables import Tables
from shared.messaging.repository import Repository

METADATA = metadata()
TABLES = Tables(METADATA)

stock = Table(
    "stock",
    METADATA,
    Column("sku", Chars(bounds.SKU), primary_key=True),
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
    Column("status", Chars(16), nullable=False),
    Column("lines", Json, nullable=False),  # quantity by sku
    Column("detail", Chars(bounds.DETAIL)),
    Column("version", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    postgresql_with={"fillfactor": 70},
)
movements = Table(
    "stock_movements",
    METADATA,
    Column("reference", Chars(200), primary_key=True),  # the order, or the receipt that brought the goods
    Column("sku", Chars(bounds.SKU), primary_key=True),
    Column("kind", Chars(16), primary_key=True),
    Column("quantity", Integer, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    info=APPEND_ONLY | WEB_WRITES,
)

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


class Reservations(Repository[Reservation]):
    """The reservations of one batch, and the `stock` of the products that they may move."""

    table, value = VersionedRows(reservations), Reservation

    def __init__(self, *loaded: Any) -> None:
        super().__init__(*loaded)
        self.stock: dict[str, Stock] = {}
        self._moved: list[tuple[str, str, Kind, int]] = []

    @classmethod
    def load(cls, connection: Transaction, requests: Sequence[Any], now: datetime, answers: Answers) -> Self:
        """Read, under lock in key order, the reservations of these requests, then the products that they may move."""
        found = super().load(connection, requests, now, answers)
        new = (each for each in requests if isinstance(each, StockRequested) and not found.find(each.order_id))
        held = (each.lines for each in found.all() if each.status is Status.RESERVED)
        if skus := {line.sku for each in new for line in each.lines}.union(*held):
            rows = connection.execute(_look, {"wanted": [{"sku": sku} for sku in skus]})
            found.stock = {row.sku: Stock(on_hand=row.on_hand, reserved=row.reserved) for row in rows}
        return found

    def move(self, reservation: Reservation, kind: Kind) -> Reservation:
        """Put it, and move all its lines so."""
        for sku, quantity in reservation.lines.items():
            self.stock[sku] = self.stock[sku].moved(kind, quantity)
            self._moved.append((reservation.order_id, sku, kind, quantity))
        return self.put(reservation)

    def flush(self) -> None:
        super().flush()
        if self._moved:
            self.connection.execute(_apply, {"change": sums(self._moved)})
            entries = [
                {"reference": order_id, "sku": sku, "kind": kind, "quantity": quantity, "at": self.now}
                for order_id, sku, kind, quantity in self._moved
            ]
            self.connection.execute(_enter, {"moved": entries})


def sums(moved: Sequence[tuple[str, str, Kind, int]]) -> list[dict[str, Any]]:
    """What movements of (reference, sku, kind, quantity) do to each product together."""
    change: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for _, sku, kind, quantity in moved:
        for column, effect in enumerate(EFFECT[kind]):
            change[sku][column] += effect * quantity
    return [{"sku": sku, "on_hand": on_hand, "reserved": held} for sku, (on_hand, held) in change.items()]


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
