"""The idempotent receiver: every message id is taken in once, in the transaction that does its work."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import Column, Integer, MetaData, Table, bindparam, select, true
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
        ids = batch_rows("ids", id=Id, times=Integer)
        took = insert(inbox).from_select(
            ["message_id", "received_at", "deliveries"],
            select(ids.c.id, bindparam("now", type_=UtcDateTime), ids.c.times).where(true()).order_by(ids.c.id),
        )
        self._take = took.on_conflict_do_update(
            index_elements=[inbox.c.message_id], set_={"deliveries": inbox.c.deliveries + took.excluded.deliveries}
        ).returning(inbox.c.message_id, inbox.c.deliveries)
        self.prune = Prune(inbox.c.message_id, inbox.c.received_at)

    def take(self, connection: Transaction, times: Mapping[str, int], now: datetime) -> Iterable[tuple[str, int]]:
        """Enter these message ids, delivered so many times each; returns how often each was by now.

        Those that were not known before have been delivered as often as they were entered with.

        Two workers that were handed one message meet here: the second waits for the first, and finds the id known.
        """
        ids = [{"id": message_id, "times": count} for message_id, count in times.items()]
        taken: Iterable[tuple[str, int]] = connection.execute(self._take, {"ids": ids, "now": now})
        return taken
