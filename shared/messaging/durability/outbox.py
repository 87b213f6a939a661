"""The transactional outbox: what is to be said, kept with the state that says it until the broker has confirmed it."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    false,
    func,
    insert,
    null,
    select,
    update,
)

from shared.database import Id, Transaction, UtcDateTime, batch_rows, timestamp
from shared.database.grants import PRUNED
from shared.messaging.durability.pruning import Prune
from shared.messaging.envelope import Envelope

BEYOND = timedelta(minutes=1)  # no row is due so far ahead: a clock went wrong when it was written, or since
LEFT_BEHIND = timedelta(seconds=5)  # a worker publishes what it committed well before this, unless it died


class Outbox:
    """The outbox table of one service.

    `due_at` says from when on any worker may publish an unpublished row: at once for rows written where no broker is,
    after LEFT_BEHIND for rows whose writer publishes them itself.
    """

    def __init__(self, metadata: MetaData) -> None:
        self.table = outbox = Table(
            "outbox",
            metadata,
            Column("id", Id, primary_key=True),
            Column("type", String(64), nullable=False),
            Column("version", Integer, nullable=False),
            Column("producer", String(32), nullable=False),
            Column("correlation_id", Id, nullable=False),
            Column("causation_id", Id),
            Column("occurred_at", UtcDateTime, nullable=False),
            Column("traceparent", String(64)),
            Column("body", Text, nullable=False),
            Column("due_at", UtcDateTime, nullable=False),
            Column("published_at", UtcDateTime),
            info=PRUNED,
        )
        unpublished = outbox.c.published_at.is_(None)
        Index("ix_outbox_due_at", outbox.c.due_at, postgresql_where=unpublished, sqlite_where=unpublished)

        columns = [c for c in outbox.c if c.name != "published_at"]
        rows = batch_rows("messages", **{c.name: c.type for c in columns})
        self._add = insert(outbox).from_select([c.name for c in columns], select(*rows.c))

        ids = batch_rows("ids", id=Id)
        self._mark = (
            update(outbox)
            .values(published_at=bindparam("now", type_=UtcDateTime))
            .where(outbox.c.id == ids.c.id)  # not "unpublished" too: its index would have to be read whole
        )
        due = (
            select(outbox.c.id)
            .where(unpublished, outbox.c.due_at <= bindparam("until", type_=UtcDateTime))
            .order_by(outbox.c.due_at, outbox.c.id)
            .limit(bindparam("most"))
            .with_for_update(skip_locked=True)
        )
        self._claim = (
            update(outbox)
            .values(due_at=bindparam("again_at", type_=UtcDateTime))
            .where(outbox.c.id.in_(due.scalar_subquery()))
            .returning(*(c for c in columns if c.name != "due_at"))
        )
        self._bring_forward = (
            update(outbox)
            .values(due_at=bindparam("now", type_=UtcDateTime))
            .where(unpublished, outbox.c.due_at > bindparam("beyond", type_=UtcDateTime))
        )
        self.prune = Prune(outbox.c.id, outbox.c.published_at, ~unpublished)
        asked = batch_rows("wanted", correlation_id=Id)
        # All that is unpublished is read, by its own index, and each is looked up among those that are wanted. (Said as
        # a condition on its own, PostgreSQL does not make a join of it, and hashes.)
        among = func.coalesce(outbox.c.correlation_id.in_(select(asked.c.correlation_id)), false())
        self._unsent = select(outbox.c.correlation_id, outbox.c.type).where(unpublished, among)
        some = select(outbox.c.occurred_at).where(unpublished).limit(bindparam("most")).subquery()
        self._depth = select(func.count(), func.min(some.c.occurred_at)).select_from(some)
        self._backlog = select(func.count()).select_from(
            select(null()).where(unpublished).limit(bindparam("most")).subquery()
        )

    def unsent(self, connection: Transaction, correlation_ids: Collection[str]) -> dict[str, set[str]]:
        """The types of the messages about these that have not been published yet, by correlation id."""
        wanted = [{"correlation_id": each} for each in correlation_ids]
        found: dict[str, set[str]] = {}
        for row in connection.execute(self._unsent, {"wanted": wanted}):
            found.setdefault(row.correlation_id, set()).add(row.type)
        return found

    def add(self, connection: Transaction, envelopes: Iterable[Envelope], due_at: datetime) -> None:
        """Keep them with what the transaction decides; nobody else publishes them before `due_at`."""
        due = timestamp(due_at)
        rows = [
            {
                "id": each.id,
                "type": each.type,
                "version": each.version,
                "producer": each.producer,
                "correlation_id": each.correlation_id,
                "causation_id": each.causation_id,
                "occurred_at": timestamp(each.occurred_at),
                "traceparent": each.traceparent,
                "body": each.body.decode(),
                "due_at": due,
            }
            for each in envelopes
        ]
        if rows:
            connection.execute(self._add, {"messages": rows})

    def mark_published(self, connection: Transaction, ids: Collection[str], now: datetime) -> None:
        """The broker has confirmed these."""
        if ids:
            connection.execute(self._mark, {"ids": [{"id": each} for each in ids], "now": now})

    def claim(self, connection: Transaction, until: datetime, most: int, *, again_at: datetime) -> list[Envelope]:
        """At most `most` unpublished messages that are due by `until`; nobody else gets them before `again_at`."""
        found = connection.execute(self._claim, {"most": most, "until": until, "again_at": again_at})
        return sorted((_envelope(row._asdict()) for row in found), key=lambda each: each.id)

    def bring_forward(self, connection: Transaction, now: datetime) -> None:
        """What a wrong clock made due in a far future is due now. (Asked for apart from what is due: with both in one
        condition PostgreSQL walks over all that was published since its last vacuum, each time.)"""
        connection.execute(self._bring_forward, {"now": now, "beyond": now + BEYOND})

    def backlog(self, connection: Connection, most: int) -> int:
        """How many messages are unpublished, counted up to `most`."""
        count: int = connection.execute(self._backlog, {"most": most}).scalar_one()
        return count

    def depth(self, connection: Connection, most: int) -> tuple[int, datetime | None]:
        """How many messages are unpublished, counted up to `most`, and when the oldest of them was said."""
        number, oldest = connection.execute(self._depth, {"most": most}).one()
        return number, oldest


def _envelope(row: dict[str, object]) -> Envelope:
    return Envelope(**{**row, "body": str(row["body"]).encode()})  # type: ignore[arg-type]
