"""Fills the databases with finished orders: every row that a real one left behind, in every table, over and over.

A real order is placed and fulfilled; then each of its rows is written again for each further order by one set-based
statement a table. Copies differ from it in their ids, and in their times by as much as their ids' times do.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql

from shared.service import services
from tests.benchmarks.driving import drive
from tests.benchmarks.load import Load
from tests.benchmarks.system import System, Watcher, scalar

STEP = 10  # milliseconds between one copy and the next
AT_A_TIME = 50_000
WHERE = {  # how an order's rows are found where there is no column `order_id`
    "inbox": sql.SQL("message_id >= %(first)s"),
    "outbox": sql.SQL("id >= %(first)s"),
    "stock_movements": sql.SQL("reference = %(order_id)s"),
    "orders": sql.SQL("id = %(order_id)s"),
}
UNCHAINED = ("hash", "history_hash")  # a copy's history is in no chain: SQL alone cannot make one
SOLD = """
    UPDATE stock SET on_hand = on_hand - %(orders)s * moved.quantity
    FROM (SELECT sku, quantity FROM stock_movements WHERE reference = %(order_id)s AND kind = 'issued') moved
    WHERE stock.sku = moved.sku
"""
TYPES = """
    SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
    WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
"""


def place_template(system: System) -> str:
    """Place an order on a running system and see it fulfilled; returns its id."""
    drive(system, "template", Load(run="", database_url=system.databases["order"], orders=1))
    return youngest(system)


def youngest(system: System) -> str:
    """The id of the order placed last."""
    with system.connect() as connection:
        return str(scalar(connection, "SELECT id FROM orders ORDER BY id DESC LIMIT 1"))


def fill(system: System, order_id: str, orders: int, already: int = 0) -> None:
    """Write copies of the youngest order, all of them older than it, and older than what was filled `already`."""
    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(_fill, system, name, order_id, orders, already) for name in services()]:
            each.result()
    with system.connect() as connection:
        connection.execute("CHECKPOINT")  # so that none falls into what is measured next


def _fill(system: System, name: str, order_id: str, orders: int, already: int) -> None:
    with system.connect(name) as connection:
        connection.execute("SET session_replication_role = replica; SET synchronous_commit = off")
        for table in services()[name].metadata.sorted_tables:
            if "order_id" not in table.c and table.name not in WHERE:
                continue
            rows = _rows_of(connection, table.name, order_id)
            assert rows, f"a fulfilled order leaves nothing in {table.name}"
            rows = [{**row, **{name: "" for name in UNCHAINED if name in row}} for row in rows]
            statement = _copying(connection, table.name, rows, order_id)
            for first in range(already, already + orders, AT_A_TIME):
                last = min(first + AT_A_TIME, already + orders)
                connection.execute(statement, {"first": first + 1, "last": last})
        if name == "inventory":
            connection.execute(SOLD, {"orders": orders, "order_id": order_id})
        connection.execute("VACUUM ANALYZE")


def _rows_of(connection: Watcher, table: str, order_id: str) -> list[dict[str, Any]]:
    """The rows of an order. An inbox does not say whose its messages were, but only one order is that young."""
    first = UUID(int=UUID(order_id).int >> 80 << 80)
    where = WHERE.get(table, sql.SQL("order_id = %(order_id)s"))
    query = sql.SQL("SELECT * FROM {} WHERE {}").format(sql.Identifier(table), where)
    cursor = connection.execute(query, {"order_id": order_id, "first": first})
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, values, strict=True)) for values in cursor]


def _copying(connection: Watcher, table: str, rows: Sequence[dict[str, Any]], order_id: str) -> sql.Composed:
    """INSERT … SELECT: each of these rows for each `n`, the number of a copy with a minus, the oldest first."""
    types = {name: sql.SQL(kind) for name, kind in connection.execute(TYPES, [table])}  # type: ignore[arg-type]
    copies = [
        sql.SQL(", ").join(
            sql.SQL("{}::{}").format(_copied(value, order_id, name), types[name]) for name, value in row.items()
        )
        for row in rows
    ]
    return sql.SQL(
        "INSERT INTO {} ({}) SELECT copy.* "
        "FROM generate_series(-%(last)s::int8, -%(first)s::int8) AS n, LATERAL ({}) AS copy"
    ).format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, rows[0])),
        sql.SQL(" UNION ALL ").join(sql.SQL("SELECT {}").format(copy) for copy in copies),
    )


def _copied(value: Any, order_id: str, name: str) -> sql.Composable:
    """The expression for a copy's value: its ids and times are `n` steps from the original's."""
    match value:
        case UUID():
            return _earlier_id(value)
        case datetime():
            return sql.SQL("({}::timestamptz + n * interval '{} ms')").format(value, STEP)
        case str() if order_id in value:
            return sql.SQL("replace({}, {}, {}::text)").format(value, order_id, _earlier_id(UUID(order_id)))
        case str() if name == "key":
            return sql.SQL("({} || n)").format(value)
        case dict() | list():
            return sql.Literal(json.dumps(value))
    return sql.Literal(value)


def _earlier_id(value: UUID) -> sql.Composable:
    """The first 48 bits of these ids are milliseconds; the others tell the ids of one moment apart."""
    milliseconds, rest = value.int >> 80, value.hex[12:]
    return sql.SQL("(lpad(to_hex({}::int8 + n * {}), 12, '0') || {})::uuid").format(milliseconds, STEP, rest)
