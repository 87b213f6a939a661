"""Forgetting: the oldest rows of a table whose ids are time-ordered, a few at a time."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, bindparam, delete, select

from shared.database import Id, Transaction, UtcDateTime


class Prune:
    """Deletes rows of the table that `id` and `at`, when a row was done with, are columns of; only those that are
    `done`, where not all are."""

    def __init__(self, id: Column[str], at: Column[datetime], *done: ColumnElement[bool]) -> None:  # noqa: A002
        oldest = select(id).where(*done, id > bindparam("after", type_=Id)).order_by(id).limit(bindparam("most"))
        self._delete = (
            delete(id.table)
            .where(id.in_(oldest.scalar_subquery()), at < bindparam("before", type_=UtcDateTime))
            .returning(id)
        )

    def __call__(self, connection: Transaction, before: datetime, most: int, after: str) -> list[str]:
        """Of the `most` oldest with an id beyond `after`, forget those done with before `before`; returns their ids."""
        gone: Any = connection.execute(self._delete, {"before": before, "most": most, "after": after})
        return [row[0] for row in gone]
