"""Dead letters that were replayed or given up are found by their age, to be forgotten."""

from shared.messaging.durability.schema import drop_index_of_settled_letters, index_settled_letters

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    index_settled_letters()


def downgrade() -> None:
    drop_index_of_settled_letters()
