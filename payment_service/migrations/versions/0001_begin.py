"""Payments, their ledger, and the simulated card network's books."""

import sqlalchemy as sa
from alembic import op

from shared.database import BigInt, Chars, Id, UtcDateTime
from shared.messaging.durability.schema import create_messaging_tables, drop_messaging_tables
from shared.outside.schema import create_world_tables, drop_world_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_messaging_tables()
    op.create_table(
        "payments",
        sa.Column("order_id", Id(), nullable=False),
        sa.Column("status", Chars(16), nullable=False),
        sa.Column("amount", BigInt, nullable=False),
        sa.Column("currency", Chars(3), nullable=False),
        sa.Column("token", Chars(200), nullable=False),
        sa.Column("authorization_id", Chars(500)),
        sa.Column("detail", Chars(500)),
        sa.Column("capture_refused", sa.Boolean(), nullable=False),
        sa.Column("reversing", sa.Boolean(), nullable=False),
        sa.Column("reversal_refused", sa.Boolean(), nullable=False),
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
        sa.Column("kind", Chars(16), nullable=False),
        sa.Column("amount", BigInt, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "kind", name="pk_payment_movements"),
    )
    create_world_tables("card_network")


def downgrade() -> None:
    drop_world_tables("card_network")
    op.drop_table("payment_movements")
    op.drop_table("payments")
    drop_messaging_tables()
