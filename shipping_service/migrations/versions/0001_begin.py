"""Shipments, and the simulated carriers' books."""

import sqlalchemy as sa
from alembic import op

from shared.database import BigInt, Id, Json, UtcDateTime
from shared.messaging.schema import create_messaging_tables, drop_messaging_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_messaging_tables()
    op.create_table(
        "shipments",
        sa.Column("order_id", Id(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("ship_to", Json()),
        sa.Column("cancelling", sa.Boolean(), nullable=False),
        sa.Column("carriers", Json(), nullable=False),
        sa.Column("intents", sa.Integer(), nullable=False),
        sa.Column("carrier", sa.String(40)),
        sa.Column("tracking_number", sa.String(40)),
        sa.Column("detail", sa.String(200)),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", name="pk_shipments"),
        postgresql_with={"fillfactor": 70},
    )
    op.create_table(
        "carrier_books",
        sa.Column("key", sa.String(120), nullable=False),
        sa.Column("party", sa.String(40), nullable=False),
        sa.Column("order_id", Id(), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("amount", BigInt, nullable=False),
        sa.Column("approved", sa.Boolean(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("askings", sa.Integer(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_carrier_books"),
    )
    op.create_index("ix_carrier_books_order_id", "carrier_books", ["order_id"])
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
    for name in ("simulation", "carrier_books", "shipments"):
        op.drop_table(name)
    drop_messaging_tables()
