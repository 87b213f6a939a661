"""Who is signed in to the console, and in which order the lines of all histories were committed."""

import sqlalchemy as sa
from alembic import op

from shared.database import BigInt, Chars, UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "console_sessions",
        sa.Column("token_hash", Chars(64), nullable=False),
        sa.Column("seal", Chars(64), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name="pk_console_sessions"),
    )
    # What was written before keeps position 0: it is behind every reader. The default is for this statement alone.
    op.add_column("saga_history", sa.Column("position", BigInt, nullable=False, server_default="0"))
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("saga_history", "position", server_default=None)
    op.create_index("ix_saga_history_position", "saga_history", ["position"])


def downgrade() -> None:
    op.drop_index("ix_saga_history_position", "saga_history")
    op.drop_column("saga_history", "position")
    op.drop_table("console_sessions")
