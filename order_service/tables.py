"""The tables of the order service.

What changes with every event lives in `sagas`. No column that changes often is in an index or in its condition, so that
PostgreSQL rewrites rows in place (HOT) and leaves the indexes alone.
"""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, Table, Text, true

from shared import bounds
from shared.database import BigInt, Chars, Id, UtcDateTime, metadata
from shared.database.grants import APPEND_ONLY, PRUNED
from shared.messaging.durability.tables import Tables

METADATA = metadata()
TABLES = Tables(METADATA)

products = Table(
    "products",
    METADATA,
    Column("sku", Chars(bounds.SKU), primary_key=True),
    Column("name", Chars(bounds.NAME), nullable=False),
    Column("unit_price", BigInt, nullable=False),
    Column("added_at", UtcDateTime, nullable=False),
)
orders = Table(
    "orders",
    METADATA,
    Column("id", Id, primary_key=True),
    Column("customer_id", Chars(64), nullable=False),
    Column("lines", Text, nullable=False),  # JSON, as are all texts with several values
    Column("total", BigInt, nullable=False),
    Column("currency", Chars(bounds.CURRENCY), nullable=False),
    Column("ship_to", Text, nullable=False),
    Column("placed_at", UtcDateTime, nullable=False),
    Column("status", Chars(20), nullable=False),
    Column("reason", Chars(20)),
    Column("reason_detail", Chars(2 * bounds.DETAIL)),
    Column("needs_attention", Boolean, nullable=False),
    Column("forgotten_at", UtcDateTime),  # when address and payment token were removed
    postgresql_with={"fillfactor": 60},
)
sagas = Table(
    "sagas",
    METADATA,
    Column("order_id", Id, ForeignKey(orders.c.id), primary_key=True),
    Column("workflow_version", Integer, nullable=False),
    Column("facts", Text, nullable=False),
    Column("steps", Text, nullable=False),  # by name: status, attempts, requested_at, settled_at, deadline
    Column("backward", Boolean, nullable=False),
    Column("reason", Chars(20)),
    Column("reason_detail", Chars(2 * bounds.DETAIL)),
    Column("needs_attention", Boolean, nullable=False),
    Column("wake_at", UtcDateTime),  # null at rest; else not later than the earliest deadline, see store.wake_at
    Column("version", Integer, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("history_hash", Chars(64), nullable=False),  # of the last chained line of its history, see `chain`
    postgresql_with={"fillfactor": 50},
)
saga_history = Table(
    "saga_history",
    METADATA,
    Column("order_id", Id, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("event", Chars(64), nullable=False),
    Column("message_id", Id),
    Column("actor", Chars(100), nullable=False),
    Column("step", Chars(40)),
    Column("outcome", Chars(200), nullable=False),
    Column("detail", Chars(2 * bounds.DETAIL)),
    Column("did", Text, nullable=False),
    Column("from_status", Chars(20), nullable=False),
    Column("to_status", Chars(20), nullable=False),
    Column("position", BigInt, nullable=False),  # of its transaction among all, see `feed`
    Column("hash", Chars(64), nullable=False),  # covers this line and the one before, see `chain`
    info=APPEND_ONLY,
)
idempotency_keys = Table(
    "idempotency_keys",
    METADATA,
    Column("principal", Chars(100), primary_key=True),
    Column("path", Chars(100), primary_key=True),
    Column("key", Chars(128), primary_key=True),
    Column("body_hash", Chars(64), nullable=False),
    Column("order_id", Id, nullable=False),
    Column("response", Text, nullable=False),
    info=PRUNED,
)
console_sessions = Table(
    "console_sessions",
    METADATA,
    Column("token_hash", Chars(64), primary_key=True),
    Column("seal", Chars(64), nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    info=PRUNED,
)
reconciliation_marks = Table(
    "reconciliation_marks",
    METADATA,
    Column("name", Chars(32), primary_key=True),  # what is looked at, or whose work
    Column("position", BigInt, nullable=False),  # up to where: of the history, or in milliseconds since 1970
)

# Old keys, and orders that still tell whose they are, are found by order id, which is in the order of placing.
# Who lists what: a customer the own orders; an operator those that need a person, those that turned back, and (by
# `wake_at`) those under way. The fulfilled are nearly all, so the primary key finds them. None of these conditions
# changes more than once or twice in an order's life.
Index("ix_saga_history_position", saga_history.c.position)
Index("ix_orders_customer_id_id", orders.c.customer_id, orders.c.id)
attention = orders.c.needs_attention == true()
remembered = orders.c.forgotten_at.is_(None)
Index("ix_orders_remembered", orders.c.id, postgresql_where=remembered, sqlite_where=remembered)
turned_back, awake = orders.c.reason.is_not(None), sagas.c.wake_at.is_not(None)
Index("ix_idempotency_keys_order_id", idempotency_keys.c.order_id)
Index("ix_orders_needs_attention", orders.c.id, postgresql_where=attention, sqlite_where=attention)
Index("ix_orders_turned_back", orders.c.id, postgresql_where=turned_back, sqlite_where=turned_back)
Index("ix_sagas_wake_at", sagas.c.wake_at, postgresql_where=awake, sqlite_where=awake)
