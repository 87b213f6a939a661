"""A table of parcels with columns of every type, to try transactions on."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Boolean, Column, Integer, String, Table, insert, select

from shared.database import BigInt, Database, Id, Json, UtcDateTime, metadata

NOON = datetime(2026, 11, 21, 12, 0, 0, 120_000, UTC)
PARCEL = "01900000-0000-7000-8000-000000000001"

METADATA = metadata()
parcels = Table(
    "parcels",
    METADATA,
    Column("order_id", Id, primary_key=True),
    Column("grams", BigInt, nullable=False),
    Column("fragile", Boolean, nullable=False),
    Column("stickers", Json),
    Column("note", String(50)),
    Column("version", Integer, nullable=False),
    Column("sent_at", UtcDateTime, nullable=False),
)
ADD = insert(parcels)
WEIGHTS = select(parcels.c.grams).order_by(parcels.c.grams)


def parcel(number: int = 1, **changes: Any) -> dict[str, Any]:
    row = {"order_id": PARCEL[:-4] + f"{number:04}", "grams": number, "fragile": True, "stickers": {"up": [1, 2]}}
    return row | {"note": None, "version": 1, "sent_at": NOON} | changes


def weights(database: Database) -> list[int]:
    with database.reading_batch() as connection:
        return [row.grams for row in connection.execute(WEIGHTS)]
