"""Shipments in their database: one row per order."""

from typing import Any

from sqlalchemy import Boolean, Column, Connection, Index, Integer, RowMapping, Table, null, select

from shared import bounds
from shared.database import Chars, Id, Json, UtcDateTime, VersionedRows, metadata
from shared.forgetting import Forgetting
from shared.messaging.durability.tables import Tables
from shared.messaging.repository import Repository
from shared.outside.simulator import SimulatedWorld
from shipping_service.domain import Shipment, Status

METADATA = metadata()
TABLES = Tables(METADATA)
WORLD = SimulatedWorld(METADATA, "carrier")

shipments = Table(
    "shipments",
    METADATA,
    Column("order_id", Id, primary_key=True),
    Column("status", Chars(16), nullable=False),
    Column("ship_to", Json),
    Column("cancelling", Boolean, nullable=False),
    Column("cancellation_refused", Boolean, nullable=False),
    Column("carriers", Json, nullable=False),  # how far the booking got, by carrier
    Column("intents", Integer, nullable=False),
    Column("carrier", Chars(bounds.CARRIER)),
    Column("tracking_number", Chars(bounds.REFERENCE)),
    Column("detail", Chars(bounds.DETAIL)),
    Column("version", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    postgresql_with={"fillfactor": 70},
)
with_address = shipments.c.ship_to.is_not(None)
Index("ix_shipments_with_address", shipments.c.order_id, postgresql_where=with_address, sqlite_where=with_address)
forget_addresses = Forgetting(shipments, {"ship_to": null()}, with_address, shipments.c.status != Status.BOOKING)


class Shipments(Repository[Shipment]):
    """The shipments of one batch."""

    table, value = VersionedRows(shipments), Shipment

    def __init__(self, *loaded: Any) -> None:
        super().__init__(*loaded)
        self._intended: set[str] = set()

    def intend(self, key: str) -> bool:
        """Whether this is the first time that this batch is about to make the call with this key."""
        new = key not in self._intended
        self._intended.add(key)
        return new


def find_shipment(connection: Connection, order_id: str) -> RowMapping | None:
    """One shipment's row, for the query API."""
    return connection.execute(select(shipments).where(shipments.c.order_id == order_id)).mappings().first()
