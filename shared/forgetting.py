"""Forgetting persons: what is personal goes from rows that have not moved for long, a few at a time; the rows stay."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Table, bindparam, select, update

from shared.database import Id, Transaction, UtcDateTime
from shared.ids import FIRST, first_id
from shared.messaging.handling import Forget


class Forgetting:
    """Blanks columns of a table that has one row per order, whose ids are time-ordered, and a version."""

    def __init__(
        self,
        table: Table,
        blank: Mapping[str, ColumnElement[Any]],
        kept: ColumnElement[bool],
        done: ColumnElement[bool],
    ) -> None:
        """`kept` tells the rows that are not blank yet, as their index does; those that are `done` need it no more."""
        key = table.c.order_id
        old = (
            select(key)
            .where(
                kept,
                done,
                key > bindparam("behind", type_=Id),
                key < bindparam("placed_before", type_=Id),
                table.c.updated_at < bindparam("before", type_=UtcDateTime),
            )
            .order_by(key)
            .limit(bindparam("most"))
            .with_for_update(skip_locked=True)
        )
        self._blank = (
            update(table)
            .values(**blank, version=table.c.version + 1)  # whoever has read the row works its batch again
            .where(key.in_(old.scalar_subquery()))
            .returning(key)
        )

    def __call__(self, connection: Transaction, before: datetime, most: int, behind: str = FIRST) -> list[str]:
        """Blank at most `most` rows behind this order id that were written last before `before`; returns their ids."""
        asked = {"behind": behind, "placed_before": first_id(before), "before": before, "most": most}
        return [row[0] for row in connection.execute(self._blank, asked)]

    def after(self, kept: timedelta) -> Forget:
        """The chore of one process that forgets what is that old. The next call goes on behind the one before: what was
        blanked stays in the index for a while."""
        behind = FIRST

        def forget(connection: Transaction, now: datetime, most: int) -> bool:
            nonlocal behind
            blanked = self(connection, now - kept, most, behind)
            more = len(blanked) == most
            behind = max(blanked) if more else FIRST
            return more

        return forget
