"""Stock, reservations, the ledger of movements, and receipts."""

import sqlalchemy as sa
from alembic import op

from shared.database import BigInt, Chars, Id, Json, UtcDateTime
from shared.messaging.durability.schema import create_messaging_tables, drop_messaging_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_messaging_tables()
    op.create_table(
        "stock",
        sa.Column("sku", Chars(64), nullable=False),
        sa.Column("on_hand", BigInt, nullable=False),
        sa.Column("reserved", BigInt, nullable=False),
        sa.PrimaryKeyConstraint("sku", name="pk_stock"),
        sa.CheckConstraint("reserved >= 0 AND on_hand >= reserved", name=op.f("ck_stock_never_oversold")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "reservations",
        sa.Column("order_id", Id(), nullable=False),
        sa.Column("status", Chars(16), nullable=False),
        sa.Column("lines", Json(), nullable=False),
        sa.Column("detail", Chars(500)),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", name="pk_reservations"),
        postgresql_with={"fillfactor": 70},
    )
    op.create_table(
        "stock_movements",
        sa.Column("reference", Chars(200), nullable=False),
        sa.Column("sku", Chars(64), nullable=False),
        sa.Column("kind", Chars(16), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("reference", "sku", "kind", name="pk_stock_movements"),
    )
    op.create_table(
        "receipts",
        sa.Column("principal", Chars(64), nullable=False),
        sa.Column("sku", Chars(64), nullable=False),
        sa.Column("key", Chars(128), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("on_hand", BigInt),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("principal", "sku", "key", name="pk_receipts"),
    )


def downgrade() -> None:
    for name in ("receipts", "stock_movements", "reservations", "stock"):
        op.drop_table(name)
    drop_messaging_tables()
