"""The idempotent receiver: every message id is taken in once, in the transaction that does its work."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from sqlalchemy import Column, Integer, MetaData, Table, bindparam, delete, literal_column, select, true, update
from sqlalchemy.dialects.postgresql import insert

from shared.database import Id, Transaction, UtcDateTime, batch_rows
from shared.database.grants import PRUNED
from shared.messaging.durability.pruning import Prune


class Inbox:
    """The message ids that a service has worked, and how often each was delivered."""

    def __init__(self, metadata: MetaData) -> None:
        self.table = inbox = Table(
            "inbox",
            metadata,
            Column("message_id", Id, primary_key=True),
            Column("received_at", UtcDateTime, nullable=False),
            Column("deliveries", Integer, nullable=False),
            info=PRUNED,
        )
        ids = batch_rows("ids", id=Id)
        self._take = (
            insert(inbox)
            .from_select(
                ["message_id", "received_at", "deliveries"],
                select(ids.c.id, bindparam("now", type_=UtcDateTime), literal_column("1"))
                .where(true())
                .order_by(ids.c.id),
            )
            .on_conflict_do_nothing()
            .returning(inbox.c.message_id)
        )
        self._give_back = delete(inbox).where(inbox.c.message_id.in_(select(ids.c.id)))
        again = batch_rows("again", id=Id, times=Integer)
        self._count_again = (
            update(inbox).values(deliveries=inbox.c.deliveries + again.c.times).where(inbox.c.message_id == again.c.id)
        )
        self.prune = Prune(inbox.c.message_id, inbox.c.received_at)

    def take(self, connection: Transaction, ids: Iterable[str], now: datetime) -> Iterable[tuple[str]]:
        """Enter these message ids, each once; returns those that are new, and waits for them only when they are read.

        Two workers that were handed one message meet here: the second waits for the first, and finds the id known.
        """
        taken: Iterable[tuple[str]] = connection.execute(self._take, {"ids": _rows(ids), "now": now})
        return taken

    def count_again(self, connection: Transaction, times: Mapping[str, int]) -> None:
        """These, which are known, were delivered so many times more."""
        if times:
            again = [{"id": message_id, "times": count} for message_id, count in times.items()]
            connection.execute(self._count_again, {"again": again})

    def give_back(self, connection: Transaction, ids: Collection[str]) -> None:
        """These were taken in this transaction, and are not done: the next one may take them."""
        if ids:
            connection.execute(self._give_back, {"ids": _rows(ids)})


def _rows(ids: Iterable[str]) -> list[dict[str, str]]:
    return [{"id": each} for each in ids]
