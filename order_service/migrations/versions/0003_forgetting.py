"""When address and payment token of an order were removed, and what finds old orders and keys."""

import sqlalchemy as sa
from alembic import op

from shared.database import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("forgotten_at", UtcDateTime()))
    where = sa.text("forgotten_at IS NULL")
    op.create_index("ix_orders_remembered", "orders", ["id"], postgresql_where=where, sqlite_where=where)
    op.create_index("ix_idempotency_keys_order_id", "idempotency_keys", ["order_id"])


def downgrade() -> None:
    op.drop_index("ix_idempotency_keys_order_id", "idempotency_keys")
    op.drop_index("ix_orders_remembered", "orders")
    op.drop_column("orders", "forgotten_at")
