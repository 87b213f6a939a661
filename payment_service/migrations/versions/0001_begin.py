"""Payments, their ledger, and the simulated card network's books."""

import sqlalchemy as sa
from alembic import op

from shared.database import BigInt, Id, UtcDateTime
from shared.messaging.schema import create_messaging_tables, drop_messaging_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_messaging_tables()
    op.create_table(
        "payments",
        sa.Column("order_id", Id(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("amount", BigInt, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("token", sa.String(200), nullable=False),
        sa.Column("authorization_id", sa.String(200)),
        sa.Column("detail", sa.String(200)),
        sa.Column("capture_refused", sa.Boolean(), nullable=False),
        sa.Column("reversing", sa.Boolean(), nullable=False),
        sa.Column("authorized", BigInt, nullable=False),
        sa.Column("captured", BigInt, nullable=False),
        sa.Column("voided", BigInt, nullable=False),
        sa.Column("refunded", BigInt, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", name="pk_payments"),
        sa.CheckConstraint(
            "captured <= authorized AND refunded <= captured AND voided <= authorized", name=op.f("ck_payments_amounts")
        ),
        postgresql_with={"fillfactor": 70},
    )
    op.create_table(
        "payment_movements",
        sa.Column("order_id", Id(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("amount", BigInt, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "kind", name="pk_payment_movements"),
    )
    op.create_table(
        "card_network_books",
        sa.Column("key", sa.String(120), nullable=False),
        sa.Column("party", sa.String(40), nullable=False),
        sa.Column("order_id", Id(), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("amount", BigInt, nullable=False),
        sa.Column("approved", sa.Boolean(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("askings", sa.Integer(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_card_network_books"),
    )
    op.create_index("ix_card_network_books_order_id", "card_network_books", ["order_id"])
    op.create_table(
        "simulation",
        sa.Column("party", sa.String(40), nullable=False),
        sa.Column("latency_ms", sa.Integer(), nullable=False),
        sa.Column("error_rate", sa.Float(), nullable=False),
        sa.Column("outage", sa.Boolean(), nullable=False),
        sa.Column("timeout_ms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("party", name="pk_simulation"),
    )


def downgrade() -> None:
    for name in ("simulation", "card_network_books", "payment_movements", "payments"):
        op.drop_table(name)
    drop_messaging_tables()
