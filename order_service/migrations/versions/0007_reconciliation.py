"""How far the reconciliation has looked."""

import sqlalchemy as sa
from alembic import op

from shared.database import BigInt, Chars

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    marks = op.create_table(
        "reconciliation_marks",
        sa.Column("name", Chars(32), nullable=False),
        sa.Column("position", BigInt, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_reconciliation_marks"),
    )
    op.bulk_insert(marks, [{"name": name, "position": 0} for name in ("ended", "payment", "inventory", "shipping")])


def downgrade() -> None:
    op.drop_table("reconciliation_marks")
