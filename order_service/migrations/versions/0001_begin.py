"""Products, orders, their sagas and histories, and the keys under which they were placed."""

import sqlalchemy as sa
from alembic import op

from shared.database import BigInt, Chars, Id, UtcDateTime
from shared.messaging.durability.schema import create_messaging_tables, drop_messaging_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_messaging_tables()
    op.create_table(
        "products",
        sa.Column("sku", Chars(64), nullable=False),
        sa.Column("name", Chars(200), nullable=False),
        sa.Column("unit_price", BigInt, nullable=False),
        sa.Column("added_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("sku", name="pk_products"),
    )
    op.create_table(
        "orders",
        sa.Column("id", Id(), nullable=False),
        sa.Column("customer_id", Chars(64), nullable=False),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.Column("total", BigInt, nullable=False),
        sa.Column("currency", Chars(3), nullable=False),
        sa.Column("ship_to", sa.Text(), nullable=False),
        sa.Column("placed_at", UtcDateTime(), nullable=False),
        sa.Column("status", Chars(20), nullable=False),
        sa.Column("reason", Chars(20)),
        sa.Column("reason_detail", Chars(1000)),
        sa.Column("needs_attention", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
        postgresql_with={"fillfactor": 60},
    )
    op.create_table(
        "sagas",
        sa.Column("order_id", Id(), nullable=False),
        sa.Column("workflow_version", sa.Integer(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("steps", sa.Text(), nullable=False),
        sa.Column("backward", sa.Boolean(), nullable=False),
        sa.Column("reason", Chars(20)),
        sa.Column("reason_detail", Chars(1000)),
        sa.Column("needs_attention", sa.Boolean(), nullable=False),
        sa.Column("wake_at", UtcDateTime()),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", name="pk_sagas"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_sagas_order_id"),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "saga_history",
        sa.Column("order_id", Id(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("event", Chars(64), nullable=False),
        sa.Column("message_id", Id()),
        sa.Column("actor", Chars(100), nullable=False),
        sa.Column("step", Chars(40)),
        sa.Column("outcome", Chars(200), nullable=False),
        sa.Column("detail", Chars(1000)),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("from_status", Chars(20), nullable=False),
        sa.Column("to_status", Chars(20), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "seq", name="pk_saga_history"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("principal", Chars(100), nullable=False),
        sa.Column("path", Chars(100), nullable=False),
        sa.Column("key", Chars(128), nullable=False),
        sa.Column("body_hash", Chars(64), nullable=False),
        sa.Column("order_id", Id(), nullable=False),
        sa.Column("response", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("principal", "path", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_orders_customer_id_id", "orders", ["customer_id", "id"])
    _partial_index("ix_orders_needs_attention", "orders", "id", sa.column("needs_attention") == sa.true())
    _partial_index("ix_orders_turned_back", "orders", "id", sa.text("reason IS NOT NULL"))
    _partial_index("ix_sagas_wake_at", "sagas", "wake_at", sa.text("wake_at IS NOT NULL"))
    for statement in APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    for name in ("idempotency_keys", "saga_history", "sagas", "orders", "products"):
        op.drop_table(name)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_to_change_history")
    drop_messaging_tables()


def _partial_index(name: str, table: str, column: str, where: sa.ColumnElement[bool] | sa.TextClause) -> None:
    op.create_index(name, table, [column], postgresql_where=where, sqlite_where=where)


APPEND_ONLY = {
    "postgresql": [
        """
        CREATE FUNCTION refuse_to_change_history() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the history of orders is append-only'; END $$
        """,
        """
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON saga_history
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_history()
        """,
    ],
    "sqlite": [
        f"""
        CREATE TRIGGER append_only_{change} BEFORE {change} ON saga_history
        BEGIN SELECT RAISE(ABORT, 'the history of orders is append-only'); END
        """
        for change in ("UPDATE", "DELETE")
    ],
}
