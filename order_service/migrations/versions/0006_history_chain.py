"""Each line of history has a hash that covers the line before, and each saga the hash of its last line.

The empty default lets a process of before go on until it is replaced: its lines, and those from before this migration,
are in no chain, and the next chained line follows the last one that was.
"""

import sqlalchemy as sa
from alembic import op

from shared.database import Chars

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("saga_history", sa.Column("hash", Chars(64), nullable=False, server_default=""))
    op.add_column("sagas", sa.Column("history_hash", Chars(64), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("sagas", "history_hash")
    op.drop_column("saga_history", "hash")
