"""Messages are known by their producer, too, and bodies by their digest; dead letters have a ceiling."""

from shared.messaging.durability.schema import forget_producers, name_producers

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    name_producers("order")


def downgrade() -> None:
    forget_producers()
