"""Goods that come in: each receipt is taken once, however often it is sent."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, Connection, Integer, String, Table, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from inventory_service.domain import Kind
from inventory_service.store import METADATA, movements, stock
from shared.clock import DatabaseClock
from shared.database import BigInt, LockTimeout, UtcDateTime
from shared.database.grants import WEB_WRITES

receipts = Table(
    "receipts",
    METADATA,
    Column("principal", String(64), primary_key=True),
    Column("sku", String(64), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("quantity", Integer, nullable=False),
    Column("on_hand", BigInt),
    Column("received_at", UtcDateTime, nullable=False),
    info=WEB_WRITES,
)

DEMO_STOCK = {
    "POPULAR-LAMP": 1000,
    "OAK-CHAIR": 200,
    "OAK-TABLE": 80,
    "LINEN-SOFA": 40,
    "WOOL-RUG": 120,
    "COFFEE-MUG": 5000,
    "TEA-TOWEL": 5000,
    "CANDLE-SET": 2000,
    "DESK-PLANT": 800,
    "RARE-VASE": 3,
}


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """Goods that came in, known by (principal, sku, key); `on_hand` is how many there were just after."""

    principal: str
    sku: str
    key: str
    quantity: int
    on_hand: int
    received_at: datetime


class KeyReused(Exception):
    """The key belongs to a receipt of another quantity."""


class KeyInUse(Exception):
    """The same receipt is being taken in at this instant, by somebody who does not finish."""


def receive(connection: Connection, now: datetime, *, principal: str, sku: str, key: str, quantity: int) -> Receipt:
    """Put `quantity` units on the shelf; an unknown sku is created. The same key again changes nothing and returns the
    first receipt, or raises KeyReused. A twin under way is waited for, then KeyInUse is raised.
    """
    named = {"principal": principal, "sku": sku, "key": key}
    claim = upsert(receipts).values(**named, quantity=quantity, received_at=now)
    try:
        claimed = connection.execute(claim.on_conflict_do_nothing().returning(receipts.c.key)).all()
    except LockTimeout as error:
        if error.is_for_key_in(receipts.name):
            raise KeyInUse from error
        raise
    if not claimed:
        earlier = connection.execute(select(receipts).filter_by(**named)).mappings().one()
        if earlier["quantity"] != quantity:
            raise KeyReused(f"the key was used for a receipt of {earlier['quantity']}")
        return Receipt(**earlier)

    shelf = upsert(stock).values(sku=sku, on_hand=quantity, reserved=0)
    grown = shelf.on_conflict_do_update(index_elements=["sku"], set_={"on_hand": stock.c.on_hand + quantity})
    on_hand = connection.execute(grown.returning(stock.c.on_hand)).scalar_one()
    connection.execute(update(receipts).filter_by(**named).values(on_hand=on_hand))
    connection.execute(
        insert(movements).values(reference=f"{principal}/{key}", sku=sku, kind=Kind.RECEIVED, quantity=quantity, at=now)
    )
    return Receipt(**named, quantity=quantity, on_hand=on_hand, received_at=now)


def seed(connection: Connection) -> None:
    """The demo stock, received once and never again."""
    now = DatabaseClock().now(connection)
    for sku, quantity in DEMO_STOCK.items():
        receive(connection, now, principal="demo", sku=sku, key="seed", quantity=quantity)
