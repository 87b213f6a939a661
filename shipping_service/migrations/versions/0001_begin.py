"""Shipments, and the simulated carriers' books."""

import sqlalchemy as sa
from alembic import op

from shared.database import Chars, Id, Json, UtcDateTime
from shared.messaging.durability.schema import create_messaging_tables, drop_messaging_tables
from shared.outside.schema import create_world_tables, drop_world_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_messaging_tables()
    op.create_table(
        "shipments",
        sa.Column("order_id", Id(), nullable=False),
        sa.Column("status", Chars(16), nullable=False),
        sa.Column("ship_to", Json()),
        sa.Column("cancelling", sa.Boolean(), nullable=False),
        sa.Column("cancellation_refused", sa.Boolean(), nullable=False),
        sa.Column("carriers", Json(), nullable=False),
        sa.Column("intents", sa.Integer(), nullable=False),
        sa.Column("carrier", Chars(64)),
        sa.Column("tracking_number", Chars(500)),
        sa.Column("detail", Chars(500)),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", name="pk_shipments"),
        postgresql_with={"fillfactor": 70},
    )
    create_world_tables("carrier")


def downgrade() -> None:
    drop_world_tables("carrier")
    op.drop_table("shipments")
    drop_messaging_tables()
