"""The work of one order, the same for every contestant: its tables, and six steps that may each be repeated safely.

Every step is one statement in a transaction of its own, so one round trip; parameters are written $1, $2 …
"""

import json
import os
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Self

SKUS = 100
TABLES = {
    "order": """
        CREATE TABLE orders (id uuid PRIMARY KEY, sku text NOT NULL, quantity int NOT NULL, total bigint NOT NULL,
            status text NOT NULL) WITH (fillfactor = 70)""",
    "payment": """
        CREATE TABLE payments (order_id uuid PRIMARY KEY, amount bigint NOT NULL, status text NOT NULL)
            WITH (fillfactor = 70)""",
    "inventory": f"""
        CREATE TABLE stock (sku text PRIMARY KEY, on_hand bigint NOT NULL, reserved bigint NOT NULL,
            CHECK (reserved >= 0 AND on_hand >= reserved)) WITH (fillfactor = 50);
        INSERT INTO stock SELECT 'SKU-' || n, 1000000000, 0 FROM generate_series(0, {SKUS - 1}) n;
        CREATE TABLE reservations (order_id uuid PRIMARY KEY, sku text NOT NULL, quantity int NOT NULL,
            status text NOT NULL) WITH (fillfactor = 70)""",
    "shipping": """
        CREATE TABLE shipments (order_id uuid PRIMARY KEY, carrier text NOT NULL, tracking text NOT NULL,
            status text NOT NULL) WITH (fillfactor = 70)""",
}


@dataclass(frozen=True, kw_only=True)
class Order:
    id: str
    sku: str
    quantity: int = 1
    total: int = 2490

    @classmethod
    def new(cls, number: int) -> Self:
        return cls(id=str(uuid.uuid4()), sku=f"SKU-{number % SKUS}")

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        return cls(**json.loads(text))

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Step:
    """What one service does about an order, in its own database. There is enough stock for all."""

    service: str
    name: str
    sql: str
    takes: Callable[[Order], tuple[Any, ...]]


PLACE = Step(
    "order",
    "place",
    "INSERT INTO orders VALUES ($1::uuid, $2, $3, $4, 'pending') ON CONFLICT DO NOTHING",
    lambda order: (order.id, order.sku, order.quantity, order.total),
)
COMPLETE = Step(
    "order",
    "complete",
    "UPDATE orders SET status = 'complete' WHERE id = $1::uuid AND status = 'pending'",
    lambda order: (order.id,),
)
STEPS = (
    Step(
        "inventory",
        "reserve",
        """
        WITH known AS (SELECT 1 FROM reservations WHERE order_id = $1::uuid),
        taken AS (
            UPDATE stock SET reserved = reserved + $3::int
            WHERE sku = $2 AND on_hand - reserved >= $3::int AND NOT EXISTS (SELECT FROM known) RETURNING sku
        )
        INSERT INTO reservations SELECT $1::uuid, sku, $3::int, 'reserved' FROM taken
        """,
        lambda order: (order.id, order.sku, order.quantity),
    ),
    Step(
        "payment",
        "authorize",
        "INSERT INTO payments VALUES ($1::uuid, $2, 'authorized') ON CONFLICT DO NOTHING",
        lambda order: (order.id, order.total),
    ),
    Step(
        "shipping",
        "book",
        "INSERT INTO shipments VALUES ($1::uuid, 'parcel', 'T' || $1::uuid, 'booked') ON CONFLICT DO NOTHING",
        lambda order: (order.id,),
    ),
    Step(
        "payment",
        "capture",
        "UPDATE payments SET status = 'captured' WHERE order_id = $1::uuid AND status = 'authorized'",
        lambda order: (order.id,),
    ),
    Step(
        "inventory",
        "issue",
        """
        WITH issued AS (
            UPDATE reservations SET status = 'issued' WHERE order_id = $1::uuid AND status = 'reserved'
            RETURNING sku, quantity
        )
        UPDATE stock SET on_hand = on_hand - quantity, reserved = reserved - quantity
        FROM issued WHERE stock.sku = issued.sku
        """,
        lambda order: (order.id,),
    ),
    Step(
        "shipping",
        "dispatch",
        "UPDATE shipments SET status = 'dispatched' WHERE order_id = $1::uuid AND status = 'booked'",
        lambda order: (order.id,),
    ),
)
NAMED = {step.name: step for step in (PLACE, *STEPS, COMPLETE)}
ROUTE = (*STEPS, COMPLETE)  # one after another: fewer messages than a controller's questions and answers


@cache
def place_of(name: str) -> str:
    """Where the runner says that something is: the URL of a service's database or of the broker, or a port."""
    url: str = json.loads(os.environ["PLACES"])[name]
    return url
