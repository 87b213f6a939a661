"""The messaging tables as migrations make them: each function is one step of their history and never changes."""

import sqlalchemy as sa
from alembic import op

from shared.database import Id, UtcDateTime


def create_messaging_tables() -> None:
    """inbox, outbox and dead_letters, as a service's first migration makes them."""
    op.create_table(
        "inbox",
        sa.Column("message_id", Id(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("deliveries", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", name="pk_inbox"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", Id(), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("producer", sa.String(32), nullable=False),
        sa.Column("correlation_id", Id(), nullable=False),
        sa.Column("causation_id", Id()),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.Column("traceparent", sa.String(64)),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("published_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    _partial_index("outbox", "ix_outbox_due_at", "due_at", "published_at IS NULL")
    op.create_table(
        "dead_letters",
        sa.Column("message_id", sa.String(255), nullable=False),
        sa.Column("reason", sa.String(1000), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("type", sa.String(255), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("producer", sa.String(255), nullable=False),
        sa.Column("correlation_id", sa.String(255), nullable=False),
        sa.Column("causation_id", sa.String(255)),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.Column("traceparent", sa.String(255)),
        sa.Column("content_type", sa.String(255), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("drops", sa.Integer(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("replayed_as", Id()),
        sa.Column("replayed_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("message_id", name="pk_dead_letters"),
    )
    _partial_index("dead_letters", "ix_dead_letters_replaying", "message_id", "state = 'replaying'")


def drop_messaging_tables() -> None:
    """Back to before `create_messaging_tables`."""
    for name in ("dead_letters", "outbox", "inbox"):
        op.drop_table(name)


def _partial_index(table: str, name: str, column: str, where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, [column], postgresql_where=condition, sqlite_where=condition)
