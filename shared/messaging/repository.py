"""A participant's unit of work: the rows of one batch as values, one for each order."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Generic, Self, TypeVar

import msgspec
from sqlalchemy import RowMapping

from shared.database import Transaction, VersionedRows, timestamp
from shared.messaging.envelope import Envelope
from shared.messaging.handling import Answers
from shared.values import Value

Kept = TypeVar("Kept", bound=Value)


class Repository(Generic[Kept]):
    """What handlers find and put. `flush` writes what differs from what was read.

    A subclass names its `table` and the `value` that a row is read as: it has a column for each field of the value,
    among them `order_id`, and `version`, `created_at` and `updated_at` besides.
    """

    table: ClassVar[VersionedRows]
    value: ClassVar[type[Any]]

    def __init__(
        self, rows: Mapping[str, Mapping[str, Any]], connection: Transaction, now: datetime, answers: Answers
    ) -> None:
        self.cause: Envelope | None = None
        self.answers = answers
        self.connection, self.now = connection, timestamp(now)
        self._rows = rows
        self._before: Mapping[str, Kept] = {order_id: self.read(row) for order_id, row in rows.items()}
        self._after = dict(self._before)

    @classmethod
    def load(cls, connection: Transaction, requests: Sequence[Any], now: datetime, answers: Answers) -> Self:
        """Read, under lock, the rows of the orders that these requests are about."""
        return cls(cls.table.load(connection, {each.order_id for each in requests}), connection, now, answers)

    @classmethod
    def read(cls, row: Mapping[str, Any] | RowMapping) -> Kept:
        """The value in a row."""
        plain = {str(name): value for name, value in row.items()}  # SQLAlchemy's own names are of a kind of string
        kept: Kept = msgspec.convert(plain, cls.value, strict=False)
        return kept

    def find(self, order_id: str) -> Kept | None:
        """The value of this order as it is now."""
        return self._after.get(order_id)

    def all(self) -> list[Kept]:
        """The values of all orders as they are now."""
        return list(self._after.values())

    def put(self, value: Kept) -> Kept:
        """Keep it as it is now."""
        self._after[value.order_id] = value  # type: ignore[attr-defined]  # as every value of a repository has
        return value

    def changes(self) -> list[tuple[Kept | None, Kept]]:
        """Each value that differs from what was read, behind what it was; None where there was nothing."""
        pairs = [(self._before.get(order_id), after) for order_id, after in self._after.items()]
        return [(before, after) for before, after in pairs if after != before]

    def flush(self) -> None:
        """Write what changed. Raises RowsChanged if another worker wrote the same row."""
        self.table.save(self.connection, [self._row(after) for _, after in self.changes()])

    def _row(self, value: Kept) -> dict[str, Any]:
        columns = msgspec.structs.asdict(value)
        before = self._rows.get(columns["order_id"])
        return {
            **columns,
            "version": before["version"] + 1 if before else 1,
            "created_at": self.now,  # of a new row; an update leaves it alone
            "updated_at": self.now,
        }
