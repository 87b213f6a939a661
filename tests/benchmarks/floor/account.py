"""What orders left in the tables, so that the floor cannot be cheaper by forgetting a row, a column or a change."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tests.benchmarks.system import SKUS, System, scalar

NARROWER = 0.98  # a row is at least this share of ours' width
TOGETHER = {  # of changes, because the larger a batch is, the more orders of a product or answers of an order it holds
    "inventory.stock": 0.4,
    "order.sagas": 0.65,  # two pairs of six answers may arrive together
}
COUNTED = """
    SELECT relname, n_tup_ins::int8, n_tup_upd::int8 FROM pg_stat_user_tables
    WHERE n_tup_ins + n_tup_upd > 0
    AND relname NOT IN ('products', 'alembic_version', 'receipts', 'reconciliation_marks')"""
GOODS = {  # tables that hold a row of each product before there are orders, and which rows are those of orders
    "inventory.stock": "true",
    "inventory.stock_movements": "reference <> 'bench/goods'",
}


class Left(NamedTuple):
    """What is in one table: per order, rows written and changes of rows; the mean width of a row in bytes."""

    written: float
    changed: float
    width: float


Account = Mapping[str, Left]  # by service and table


def account_of(system: System) -> Account:
    """What a system's processes left behind; they must have ended, because only then have all their counts arrived."""
    account = {}
    with system.connect() as watcher:
        orders = scalar(watcher, "SELECT count(*) FROM orders")
    for service in system.databases:
        with system.connect(service) as watcher:
            for table, written, changed in watcher.execute(COUNTED).fetchall():
                name = f"{service}.{table}"
                of_orders = GOODS.get(name, "true")
                width = scalar(watcher, f"SELECT avg(pg_column_size(t.*))::float8 FROM {table} t WHERE {of_orders}")
                account[name] = Left((written - SKUS * (name in GOODS)) / orders, changed / orders, width)
    return account


def shortfalls(ours: Account, floor: Account) -> Iterator[str]:
    """Where the floor does less than ours, in words."""
    for table, mine in ours.items():
        theirs = floor.get(table, Left(0, 0, 0))
        if theirs.written != mine.written:
            yield f"{table}: {theirs.written:.2f} rows an order are written, ours are {mine.written:.2f}"
        if theirs.changed < TOGETHER.get(table, 0.99) * mine.changed:
            yield f"{table}: rows change {theirs.changed:.2f} times an order, ours {mine.changed:.2f} times"
        if theirs.width < NARROWER * mine.width:
            yield f"{table}: a row has {theirs.width:.0f} bytes, ours has {mine.width:.0f}"
