"""How many dead letters of one producer and reason are kept in an hour; beyond that they are counted only."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Column, Connection, Integer, MetaData, RowMapping, String, Table, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert

from shared.database import Transaction, UtcDateTime
from shared.database.grants import PRUNED
from shared.messaging.broker import Letter

PER_HOUR = 1_000
COUNTS_KEPT = timedelta(days=30)


class Ceilings:
    """The dead_letter_counts table of one service: letters by hour, producer and kind of reason."""

    def __init__(self, metadata: MetaData) -> None:
        self.table = table = Table(
            "dead_letter_counts",
            metadata,
            Column("hour", UtcDateTime, primary_key=True),
            Column("producer", String(255), primary_key=True),
            Column("kind", String(64), primary_key=True),
            Column("letters", Integer, nullable=False),
            Column("not_kept", Integer, nullable=False),
            info=PRUNED,
        )
        row = insert(table)
        self._count = row.on_conflict_do_update(
            index_elements=[table.c.hour, table.c.producer, table.c.kind],
            set_={"letters": table.c.letters + row.excluded.letters},
        ).returning(table.c.letters)
        self._beyond = (
            table.update()
            .where(
                table.c.hour == bindparam("at", type_=UtcDateTime),
                table.c.producer == bindparam("by"),
                table.c.kind == bindparam("of"),
            )
            .values(not_kept=table.c.not_kept + bindparam("more", type_=Integer))
        )
        self._forget = delete(table).where(table.c.hour < bindparam("before", type_=UtcDateTime))

    def within(
        self, connection: Transaction, letters: Sequence[Letter], now: datetime, per_hour: int
    ) -> Sequence[Letter]:
        """Count these, and return those that are to be kept. What an operator has replayed is always kept."""
        kept: list[Letter] = []
        room: Counter[tuple[str, str]] = Counter()
        strange = [each for each in letters if not each[0].replay_of]
        for group, number in sorted(Counter(map(_group, strange)).items()):
            room[group] = self._room(connection, now, group, number, per_hour)
        for letter in letters:
            if letter[0].replay_of:
                kept.append(letter)
            elif room[_group(letter)] > 0:
                room[_group(letter)] -= 1
                kept.append(letter)
        return kept

    def _room(self, connection: Transaction, now: datetime, group: tuple[str, str], number: int, per_hour: int) -> int:
        (producer, kind), hour = group, now.replace(minute=0, second=0, microsecond=0)
        row = {"hour": hour, "producer": producer, "kind": kind, "letters": number, "not_kept": 0}
        ((total,),) = connection.execute(self._count, row)
        room = min(number, max(0, per_hour - (int(total) - number)))
        if room < number:
            connection.execute(self._beyond, {"at": hour, "by": producer, "of": kind, "more": number - room})
        return room

    def beyond(self, connection: Connection, most: int) -> Sequence[RowMapping]:
        """Of which more came than were kept, the latest hours first."""
        wanted = select(self.table).where(self.table.c.not_kept > 0)
        newest = wanted.order_by(self.table.c.hour.desc(), self.table.c.producer, self.table.c.kind)
        return connection.execute(newest.limit(most)).mappings().all()

    def forget(self, connection: Transaction, now: datetime) -> None:
        """Forget the counts of hours long past."""
        connection.execute(self._forget, {"before": now - COUNTS_KEPT})


def as_text(hostile: str, longest: int = 255) -> str:
    """No database column takes every string: NUL and lone surrogates are shown as U+FFFD."""
    return hostile.replace("\0", "\ufffd").encode("utf-8", "replace").decode()[:longest]


def _group(letter: Letter) -> tuple[str, str]:
    delivery, reason = letter
    return as_text(delivery.envelope.producer), as_text(reason.partition(":")[0], 64)
