"""Shipments in their database: one row per order."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import asdict
from sqlalchemy import Boolean, Column, Connection, Integer, RowMapping, String, Table, select

from shared.database import Id, Json, OrderRows, Transaction, UtcDateTime, metadata, timestamp
from shared.messaging.durability.tables import Tables
from shared.messaging.envelope import Envelope
from shared.messaging.handling import Answers
from shared.outside.simulator import SimulatedWorld
from shipping_service.domain import Shipment, Status, Trial

METADATA = metadata()
TABLES = Tables(METADATA)
WORLD = SimulatedWorld(METADATA, "carrier")

shipments = Table(
    "shipments",
    METADATA,
    Column("order_id", Id, primary_key=True),
    Column("status", String(16), nullable=False),
    Column("ship_to", Json),
    Column("cancelling", Boolean, nullable=False),
    Column("carriers", Json, nullable=False),  # how far the booking got, by carrier
    Column("intents", Integer, nullable=False),
    Column("carrier", String(40)),
    Column("tracking_number", String(40)),
    Column("detail", String(200)),
    Column("version", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    postgresql_with={"fillfactor": 70},
)

_rows = OrderRows(shipments)


class Shipments:
    """The shipments of one batch. What is put is written by `flush`."""

    def __init__(self, rows: Mapping[str, Mapping[str, Any]], connection: Transaction, now: datetime, answers: Answers):
        self.cause: Envelope | None = None
        self.answers = answers
        self._connection, self._now, self._rows = connection, timestamp(now), rows
        self._before = {order_id: shipment_from(row) for order_id, row in rows.items()}
        self._after = dict(self._before)
        self._intended: set[str] = set()

    @classmethod
    def load(cls, connection: Transaction, requests: Sequence[Any], now: datetime, answers: Answers) -> "Shipments":
        """Read, under lock, the shipments that these requests are about."""
        return cls(_rows.load(connection, {each.order_id for each in requests}), connection, now, answers)

    def find(self, order_id: str) -> Shipment | None:
        return self._after.get(order_id)

    def put(self, shipment: Shipment) -> Shipment:
        self._after[shipment.order_id] = shipment
        return shipment

    def intend(self, key: str) -> bool:
        """Whether this is the first time that this batch is about to make the call with this key."""
        new = key not in self._intended
        self._intended.add(key)
        return new

    def flush(self) -> None:
        """Write what changed; raises RowsChanged if another worker wrote the same shipment."""
        changed = [each for each in self._after.values() if each != self._before.get(each.order_id)]
        _rows.save(self._connection, [self._row(each) for each in changed])

    def _row(self, shipment: Shipment) -> dict[str, Any]:
        before = self._rows.get(shipment.order_id)
        return {
            **asdict(shipment),
            "version": before["version"] + 1 if before else 1,
            "created_at": self._now,  # of a new row; an update leaves it alone
            "updated_at": self._now,
        }


def shipment_from(row: Mapping[str, Any]) -> Shipment:
    fields = {name: row[name] for name in Shipment.__struct_fields__}
    carriers = {carrier: Trial(trial) for carrier, trial in row["carriers"].items()}
    return Shipment(**{**fields, "status": Status(row["status"]), "carriers": carriers})


def find_shipment(connection: Connection, order_id: str) -> RowMapping | None:
    """One shipment's row, for the query API."""
    return connection.execute(select(shipments).where(shipments.c.order_id == order_id)).mappings().first()
