"""Shipments whose address is still kept are found by an index."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    where = sa.text("ship_to IS NOT NULL")
    op.create_index("ix_shipments_with_address", "shipments", ["order_id"], postgresql_where=where, sqlite_where=where)


def downgrade() -> None:
    op.drop_index("ix_shipments_with_address", "shipments")
