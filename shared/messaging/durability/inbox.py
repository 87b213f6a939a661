"""The idempotent receiver: every message is taken in once, in the transaction that does its work."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    literal_column,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from shared.database import Id, Transaction, UtcDateTime, batch_rows
from shared.database.grants import PRUNED
from shared.messaging.durability.pruning import Prune
from shared.messaging.envelope import Envelope, Key

DIGITS = 32  # of a body's digest: what one producer makes collide is his own harm
Seen = tuple[str, str, str]  # producer, message id, digest


class Inbox:
    """The messages that a service has worked, by producer and id, and how often each was delivered."""

    def __init__(self, metadata: MetaData) -> None:
        self.table = inbox = Table(
            "inbox",
            metadata,
            Column("message_id", Id, primary_key=True),
            Column("producer", String(32), primary_key=True),
            Column("digest", String(DIGITS), nullable=False),  # of the body; empty where it was not kept
            Column("received_at", UtcDateTime, nullable=False),
            Column("deliveries", Integer, nullable=False),
            info=PRUNED,
        )
        rows = batch_rows("messages", id=Id, producer=String(32), digest=String(DIGITS))
        self._take = (
            insert(inbox)
            .from_select(
                ["message_id", "producer", "digest", "received_at", "deliveries"],
                select(*rows.c, bindparam("now", type_=UtcDateTime), literal_column("1"))
                .where(true())
                .order_by(rows.c.id, rows.c.producer),
            )
            .on_conflict_do_nothing()
            .returning(inbox.c.producer, inbox.c.message_id)
        )
        keys = batch_rows("keys", id=Id, producer=String(32))
        key = tuple_(inbox.c.message_id, inbox.c.producer)
        self._give_back = delete(inbox).where(key.in_(select(keys.c.id, keys.c.producer)))
        again = batch_rows("again", id=Id, producer=String(32), digest=String(DIGITS), times=Integer)
        self._count_again = (
            update(inbox)
            .values(deliveries=inbox.c.deliveries + again.c.times)
            .where(
                inbox.c.message_id == again.c.id,
                inbox.c.producer == again.c.producer,
                or_(inbox.c.digest == again.c.digest, inbox.c.digest == ""),
            )
            .returning(inbox.c.producer, inbox.c.message_id, inbox.c.digest)
        )
        self.prune = Prune(inbox.c.message_id, inbox.c.received_at)

    def take(self, connection: Transaction, envelopes: Iterable[Envelope], now: datetime) -> Iterable[Key]:
        """Enter these messages, no two of one key; returns the keys of those that are new, and waits for them only when
        they are read.

        Two workers that were handed one message meet here: the second waits for the first, and finds it known.
        """
        rows = [{"id": each.id, "producer": each.producer, "digest": each.digest[:DIGITS]} for each in envelopes]
        taken: Iterable[Key] = connection.execute(self._take, {"messages": rows, "now": now})
        return taken

    def count_again(self, connection: Transaction, times: Mapping[Seen, int]) -> set[Seen]:
        """These, whose keys are known, were delivered so many times more; returns those whose body is the one that was
        taken in."""
        if not times:
            return set()
        again = [
            {"id": id_, "producer": producer, "digest": digest, "times": count}
            for (producer, id_, digest), count in times.items()
        ]
        kept = {(row[0], row[1]): row[2] for row in connection.execute(self._count_again, {"again": again})}
        return {each for each in times if kept.get(each[:2]) in ("", each[2])}

    def give_back(self, connection: Transaction, keys: Collection[Key]) -> None:
        """These were taken in this transaction, and are not done: the next one may take them."""
        if keys:
            connection.execute(self._give_back, {"keys": _rows(keys)})


def seen(envelope: Envelope) -> Seen:
    """A message with as much of its body's digest as an inbox keeps."""
    return *envelope.key, envelope.digest[:DIGITS]


def _rows(keys: Iterable[Key]) -> list[dict[str, str]]:
    return [{"id": id_, "producer": producer} for producer, id_ in keys]
