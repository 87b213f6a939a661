"""One row per order in a participant's table: read under lock for a whole batch, written back in one statement."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Table, case, select, true
from sqlalchemy.dialects.postgresql import insert

from shared.database.rowsets import batch_rows
from shared.database.statements import Transaction
from shared.database.types import Id


class VersionedRows:
    """Reads and writes rows of a table whose key is `order_id` and whose `version` counts its writings from 1."""

    def __init__(self, table: Table) -> None:
        keys = batch_rows("keys", order_id=Id)
        self._load = (
            select(table)
            .join(keys, table.c.order_id == keys.c.order_id)
            .order_by(table.c.order_id)
            .with_for_update(of=table)
        )
        rows = batch_rows("rows", **{c.name: c.type for c in table.c})
        upsert = insert(table).from_select(
            [c.name for c in table.c], select(*rows.c).where(true()).order_by(rows.c.order_id)
        )
        changing = {c.name: upsert.excluded[c.name] for c in table.c if not c.primary_key and c.name != "created_at"}
        follows = table.c.version == upsert.excluded.version - 1
        self._save = upsert.on_conflict_do_update(
            index_elements=[table.c.order_id],
            set_={**changing, "version": case((follows, upsert.excluded.version))},  # else NULL: see RowsChanged
        )

    def load(self, connection: Transaction, order_ids: Iterable[str]) -> Mapping[str, Mapping[str, Any]]:
        """The rows of these orders by order id, locked, in one order for all workers; absent ones are left out."""
        keys = [{"order_id": each} for each in order_ids]
        return {row["order_id"]: row for row in connection.execute(self._load, {"keys": keys}).mappings()}

    def save(self, connection: Transaction, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert or update whole rows, as `batch_rows` wants them. The transaction ends in RowsChanged if they are not
        as they were read."""
        if rows:
            connection.execute(self._save, {"rows": rows})
