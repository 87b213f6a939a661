"""Payments in their database: one row per order, and a ledger of every movement of money."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import asdict
from sqlalchemy import Boolean, CheckConstraint, Column, Connection, Integer, RowMapping, String, Table, insert, select

from payment_service.domain import Payment, Status
from shared.database import BigInt, Id, OrderRows, Transaction, UtcDateTime, batch_rows, metadata, timestamp
from shared.database.grants import APPEND_ONLY
from shared.messaging.durability.tables import Tables
from shared.messaging.envelope import Envelope
from shared.messaging.handling import Answers
from shared.outside.simulator import SimulatedWorld

METADATA = metadata()
TABLES = Tables(METADATA)
WORLD = SimulatedWorld(METADATA, "card_network")

payments = Table(
    "payments",
    METADATA,
    Column("order_id", Id, primary_key=True),
    Column("status", String(16), nullable=False),
    Column("amount", BigInt, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("token", String(200), nullable=False),
    Column("authorization_id", String(200)),
    Column("detail", String(200)),
    Column("capture_refused", Boolean, nullable=False),
    Column("reversing", Boolean, nullable=False),
    Column("authorized", BigInt, nullable=False),
    Column("captured", BigInt, nullable=False),
    Column("voided", BigInt, nullable=False),
    Column("refunded", BigInt, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    CheckConstraint("captured <= authorized AND refunded <= captured AND voided <= authorized", name="amounts"),
    postgresql_with={"fillfactor": 70},
)
movements = Table(
    "payment_movements",
    METADATA,
    Column("order_id", Id, primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("amount", BigInt, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    info=APPEND_ONLY,
)
KINDS = ("authorized", "captured", "voided", "refunded")

_rows = OrderRows(payments)
_moved = batch_rows("moved", **{c.name: c.type for c in movements.c})
_enter = insert(movements).from_select([c.name for c in movements.c], select(*_moved.c))


class Payments:
    """The payments of one batch. What is put is written by `flush`, with the movements that follow from it."""

    def __init__(self, rows: Mapping[str, Mapping[str, Any]], connection: Transaction, now: datetime, answers: Answers):
        self.cause: Envelope | None = None
        self.answers = answers
        self._connection, self._now, self._rows = connection, now, rows
        self._before = {order_id: payment_from(row) for order_id, row in rows.items()}
        self._after = dict(self._before)

    @classmethod
    def load(cls, connection: Transaction, requests: Sequence[Any], now: datetime, answers: Answers) -> "Payments":
        """Read, under lock, the payments that these requests are about."""
        return cls(_rows.load(connection, {each.order_id for each in requests}), connection, now, answers)

    def find(self, order_id: str) -> Payment | None:
        return self._after.get(order_id)

    def put(self, payment: Payment) -> Payment:
        self._after[payment.order_id] = payment
        return payment

    def flush(self) -> None:
        """Write what changed and its movements; raises RowsChanged if another worker wrote the same payment."""
        changed = [each for each in self._after.values() if each != self._before.get(each.order_id)]
        _rows.save(self._connection, [self._row(each) for each in changed])
        entries = [
            {"order_id": each.order_id, "kind": kind, "amount": getattr(each, kind), "at": timestamp(self._now)}
            for each in changed
            for kind in KINDS
            if getattr(each, kind) != getattr(self._before.get(each.order_id), kind, 0)
        ]
        if entries:
            self._connection.execute(_enter, {"moved": entries})

    def _row(self, payment: Payment) -> dict[str, Any]:
        before = self._rows.get(payment.order_id)
        return {
            **asdict(payment),
            "version": before["version"] + 1 if before else 1,
            "created_at": timestamp(self._now),
            "updated_at": timestamp(self._now),
        }


def payment_from(row: RowMapping | Mapping[str, Any]) -> Payment:
    fields = {name: row[name] for name in Payment.__struct_fields__}
    return Payment(**{**fields, "status": Status(row["status"])})


def find_payment(connection: Connection, order_id: str) -> RowMapping | None:
    """One payment's row, for the query API."""
    return connection.execute(select(payments).where(payments.c.order_id == order_id)).mappings().first()


def find_movements(connection: Connection, order_id: str) -> Sequence[RowMapping]:
    """What money moved for one order, in the order in which it did."""
    wanted = select(movements).where(movements.c.order_id == order_id).order_by(movements.c.at, movements.c.kind)
    return connection.execute(wanted).mappings().all()
