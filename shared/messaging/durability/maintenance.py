"""What a worker does for its service's messages between batches: relay what was left behind, mark, replay, prune."""

from collections.abc import Collection
from datetime import timedelta

from shared.clock import Clock, SystemClock
from shared.database import Database
from shared.ids import FIRST
from shared.messaging.broker import Delivery
from shared.messaging.durability.outbox import LEFT_BEHIND
from shared.messaging.durability.tables import Tables
from shared.messaging.envelope import Envelope
from shared.messaging.handling import Forget, forget_nothing

BEGINNING = (FIRST, FIRST)  # of outbox and inbox


class Maintenance:
    """The small transactions of one service's messaging tables."""

    def __init__(
        self,
        tables: Tables,
        database: Database,
        clock: Clock,
        machine: Clock | None = None,
        forget: Forget = forget_nothing,
    ) -> None:
        """`clock` tells the times that are kept. What is old must be old by the `machine`'s own clock, too. `forget` is
        what the service forgets besides."""
        self.tables, self.database, self.clock, self.machine = tables, database, clock, machine or SystemClock()
        self._forget = forget
        self._pruned = BEGINNING

    def claim(self, most: int, *, everything: bool = False) -> list[Envelope]:
        """At most `most` messages that were committed and not published in time, or all that are unpublished by now."""
        with self.database.batch(autocommit=True) as connection:
            now = self.clock.now(connection)
            until = now + LEFT_BEHIND if everything else now
            return self.tables.outbox.claim(connection, until, most, again_at=until + LEFT_BEHIND)

    def bring_forward(self) -> None:
        """What a wrong clock made due in a far future is due now."""
        with self.database.batch(autocommit=True) as connection:
            self.tables.outbox.bring_forward(connection, self.clock.now(connection))

    def mark_published(self, ids: Collection[str]) -> None:
        """The broker has confirmed these, and no batch is at hand to mark them along."""
        with self.database.batch(autocommit=True) as connection:
            self.tables.outbox.mark_published(connection, ids, self.clock.now(connection))

    def count_attempt(self, delivery: Delivery) -> int:
        """Note that a message which may be lethal is about to be worked alone; returns the number of attempts."""
        with self.database.transaction() as connection:
            return self.tables.dead_letters.count_attempt(connection, delivery, self.clock.now(connection))

    def clear(self, delivery: Delivery) -> None:
        """It was worked alone, and the process lives."""
        with self.database.transaction() as connection:
            self.tables.dead_letters.clear(connection, delivery)

    def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """Keep it as a dead letter without looking inside."""
        with self.database.transaction() as connection:
            now = self.clock.now(connection)
            self.tables.dead_letters.add(connection, [(delivery, reason)], now)
            self.tables.dead_letters.replayed(connection, [delivery], now)

    def to_replay(self, most: int) -> list[Delivery]:
        """Dead letters that an operator wants worked again."""
        with self.database.reading() as connection:
            return self.tables.dead_letters.to_replay(connection, most)

    def prune(self, outbox_kept: timedelta, inbox_kept: timedelta, letters_kept: timedelta, most: int) -> bool:
        """Forget at most `most` old rows of each table; says whether there may be more. The next call goes on from
        there: what was deleted stays in the index for a while, and would be walked over each time."""
        with self.database.batch() as connection:
            now = min(self.clock.now(connection), self.machine.now(connection))  # one that jumped ahead deletes nothing
            outbox_id, inbox_id = self._pruned
            gone = self.tables.outbox.prune(connection, now - outbox_kept, most, outbox_id)
            self.tables.dead_letters.ceilings.forget(connection, now)
            letters = self.tables.dead_letters.prune(connection, now - letters_kept, most)
            forgotten = self.tables.inbox.prune(connection, now - inbox_kept, most, inbox_id)
            more_of_persons = self._forget(connection, now, most)
        more = max(len(gone), len(forgotten)) > most // 2  # among the oldest may be some that must stay
        self._pruned = (max(gone, default=outbox_id), max(forgotten, default=inbox_id)) if more else BEGINNING
        return more or letters == most or more_of_persons
