"""The simulated world's tables as migrations make them: each function is one step of history and never changes."""

import sqlalchemy as sa
from alembic import op

from shared.database import BigInt, Id, UtcDateTime


def create_world_tables(name: str) -> None:
    """`‹name›_books` and simulation, as the first migration of a service that deals with the outside makes them."""
    books = f"{name}_books"
    op.create_table(
        books,
        sa.Column("key", sa.String(120), nullable=False),
        sa.Column("party", sa.String(40), nullable=False),
        sa.Column("order_id", Id(), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("amount", BigInt, nullable=False),
        sa.Column("approved", sa.Boolean(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("askings", sa.Integer(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=f"pk_{books}"),
    )
    op.create_index(f"ix_{books}_order_id", books, ["order_id"])
    op.create_table(
        "simulation",
        sa.Column("party", sa.String(40), nullable=False),
        sa.Column("latency_ms", sa.Integer(), nullable=False),
        sa.Column("error_rate", sa.Float(), nullable=False),
        sa.Column("outage", sa.Boolean(), nullable=False),
        sa.Column("timeout_ms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("party", name="pk_simulation"),
    )


def drop_world_tables(name: str) -> None:
    """Back to before `create_world_tables`."""
    for table in ("simulation", f"{name}_books"):
        op.drop_table(table)
