"""Payments in their database: one row per order, and a ledger of every movement of money."""

from collections.abc import Sequence

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    Index,
    Integer,
    RowMapping,
    Table,
    insert,
    literal_column,
    select,
)

from payment_service.domain import Payment, Status
from shared import bounds
from shared.database import BigInt, Chars, Id, UtcDateTime, VersionedRows, batch_rows, metadata
from shared.database.grants import APPEND_ONLY
from shared.forgetting import Forgetting
from shared.messaging.durability.tables import Tables
from shared.messaging.repository import Repository
from shared.outside.simulator import SimulatedWorld

METADATA = metadata()
TABLES = Tables(METADATA)
WORLD = SimulatedWorld(METADATA, "card_network")

payments = Table(
    "payments",
    METADATA,
    Column("order_id", Id, primary_key=True),
    Column("status", Chars(16), nullable=False),
    Column("amount", BigInt, nullable=False),
    Column("currency", Chars(bounds.CURRENCY), nullable=False),
    Column("token", Chars(bounds.TOKEN), nullable=False),
    Column("authorization_id", Chars(bounds.REFERENCE)),
    Column("detail", Chars(bounds.DETAIL)),
    Column("capture_refused", Boolean, nullable=False),
    Column("reversing", Boolean, nullable=False),
    Column("reversal_refused", Boolean, nullable=False),
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
with_token = payments.c.token != literal_column("''")
Index("ix_payments_with_token", payments.c.order_id, postgresql_where=with_token, sqlite_where=with_token)
forget_tokens = Forgetting(
    payments, {"token": literal_column("''")}, with_token, payments.c.status != Status.AUTHORIZING
)
movements = Table(
    "payment_movements",
    METADATA,
    Column("order_id", Id, primary_key=True),
    Column("kind", Chars(16), primary_key=True),
    Column("amount", BigInt, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    info=APPEND_ONLY,
)
KINDS = ("authorized", "captured", "voided", "refunded")

_moved = batch_rows("moved", **{c.name: c.type for c in movements.c})
_enter = insert(movements).from_select([c.name for c in movements.c], select(*_moved.c))


class Payments(Repository[Payment]):
    """The payments of one batch. With each that changed, the movements that follow from it are written."""

    table, value = VersionedRows(payments), Payment

    def flush(self) -> None:
        super().flush()
        entries = [
            {"order_id": after.order_id, "kind": kind, "amount": getattr(after, kind), "at": self.now}
            for before, after in self.changes()
            for kind in KINDS
            if getattr(after, kind) != getattr(before, kind, 0)
        ]
        if entries:
            self.connection.execute(_enter, {"moved": entries})


def find_payment(connection: Connection, order_id: str) -> RowMapping | None:
    """One payment's row, for the query API."""
    return connection.execute(select(payments).where(payments.c.order_id == order_id)).mappings().first()


def find_movements(connection: Connection, order_id: str) -> Sequence[RowMapping]:
    """What money moved for one order, in the order in which it did."""
    wanted = select(movements).where(movements.c.order_id == order_id).order_by(movements.c.at, movements.c.kind)
    return connection.execute(wanted).mappings().all()
