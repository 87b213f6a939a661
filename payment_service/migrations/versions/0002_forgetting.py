"""Payments whose token is still kept are found by an index."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    where = sa.text("token <> ''")
    op.create_index("ix_payments_with_token", "payments", ["order_id"], postgresql_where=where, sqlite_where=where)


def downgrade() -> None:
    op.drop_index("ix_payments_with_token", "payments")
