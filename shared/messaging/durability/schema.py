"""The messaging tables as migrations make them: each function is one step of their history and never changes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op

from shared.database import Id, UtcDateTime

LETTERS = (
    "message_id, reason, state, type, version, producer, correlation_id, causation_id, occurred_at, traceparent, "
    "content_type, body, drops, received_at, replayed_as, replayed_at"
)


def create_messaging_tables() -> None:
    """inbox, outbox and dead_letters, as a service's first migration makes them."""
    _create_inbox()
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
    _create_letters(key=["message_id"])


def drop_messaging_tables() -> None:
    """Back to before `create_messaging_tables`."""
    for name in ("dead_letters", "outbox", "inbox"):
        op.drop_table(name)


def name_producers(*heard: str) -> None:
    """Inbox and dead letters are keyed by producer, too, and keep a digest of each body; dead letters are counted.

    What was taken in before counts as from each of the producers that the service has `heard`, with any body: it is not
    worked again. The defaults let a worker of before go on until it is replaced.
    """
    with _replaced("inbox"):
        op.create_table(
            "inbox",
            sa.Column("message_id", Id(), nullable=False),
            sa.Column("producer", sa.String(32), nullable=False, server_default=""),
            sa.Column("digest", sa.String(32), nullable=False, server_default=""),
            sa.Column("received_at", UtcDateTime(), nullable=False),
            sa.Column("deliveries", sa.Integer(), nullable=False),
            sa.PrimaryKeyConstraint("message_id", "producer", name="pk_inbox"),
        )
        for producer in heard:
            _fill("inbox", "message_id, received_at, deliveries", producer=f"'{producer}'")
    with _replaced("dead_letters"):
        _create_letters(
            sa.Column("digest", sa.String(64), nullable=False, server_default=""),
            sa.Column("size", sa.Integer(), nullable=False, server_default="0"),
            key=["message_id", "producer", "digest"],
        )
        _fill("dead_letters", LETTERS, size="length(body)")
    op.create_table(
        "dead_letter_counts",
        sa.Column("hour", UtcDateTime(), nullable=False),
        sa.Column("producer", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("letters", sa.Integer(), nullable=False),
        sa.Column("not_kept", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "producer", "kind", name="pk_dead_letter_counts"),
    )


def forget_producers() -> None:
    """Back to before `name_producers`: of several letters with one message id the first is kept."""
    op.drop_table("dead_letter_counts")
    op.execute(
        "DELETE FROM dead_letters WHERE EXISTS (SELECT 1 FROM dead_letters d WHERE d.message_id = "
        "dead_letters.message_id AND (d.producer, d.digest) < (dead_letters.producer, dead_letters.digest))"
    )
    with _replaced("dead_letters"):
        _create_letters(key=["message_id"])
        _fill("dead_letters", LETTERS)
    op.execute(
        "DELETE FROM inbox WHERE EXISTS "
        "(SELECT 1 FROM inbox i WHERE i.message_id = inbox.message_id AND i.producer < inbox.producer)"
    )
    with _replaced("inbox"):
        _create_inbox()
        _fill("inbox", "message_id, received_at, deliveries")


def index_settled_letters() -> None:
    """So that those which are to be forgotten are found among many that are not."""
    _partial_index("dead_letters", "ix_dead_letters_settled", "received_at", "state IN ('replayed', 'discarded')")


def drop_index_of_settled_letters() -> None:
    """Back to before `index_settled_letters`."""
    op.drop_index("ix_dead_letters_settled", "dead_letters")


@contextmanager
def _replaced(table: str) -> Iterator[None]:
    """Within it the table is gone, and its rows are in `‹table›_before`."""
    op.execute(f"CREATE TABLE {table}_before AS SELECT * FROM {table}")  # noqa: S608 - names from code
    op.drop_table(table)
    yield
    op.drop_table(f"{table}_before")


def _fill(table: str, columns: str, **new: str) -> None:
    """From what it was before, with expressions for new columns."""
    names, values = ", ".join([columns, *new]), ", ".join([columns, *new.values()])
    op.execute(f"INSERT INTO {table} ({names}) SELECT {values} FROM {table}_before")  # noqa: S608 - names from code


def _create_inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("message_id", Id(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("deliveries", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", name="pk_inbox"),
    )


def _create_letters(*more: sa.Column[Any], key: Sequence[str]) -> None:
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
        *more,
        sa.PrimaryKeyConstraint(*key, name="pk_dead_letters"),
    )
    _partial_index("dead_letters", "ix_dead_letters_replaying", "message_id", "state = 'replaying'")


def _partial_index(table: str, name: str, column: str, where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, [column], postgresql_where=condition, sqlite_where=condition)
