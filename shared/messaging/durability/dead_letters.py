"""What could not be worked: kept, with the reason, until an operator looks at it and has it worked again."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    RowMapping,
    String,
    Table,
    bindparam,
    delete,
    func,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from shared.database import Id, Transaction, UtcDateTime
from shared.database.grants import PRUNED, WEB_WRITES
from shared.ids import NewId
from shared.messaging.broker import Delivery, Letter
from shared.messaging.durability.ceilings import Ceilings, as_text
from shared.messaging.envelope import Envelope


class Like(NamedTuple):
    """What letters have in common: the kind is what is before the colon of their reason."""

    kind: str | None = None
    type: str | None = None


ANY = Like()


class DeadLetters:
    """The dead_letters table of one service: `parked`, then `replaying` when asked for and `replayed`, or `discarded`.

    A letter is who sent it, its message id, and its body's digest: none can take the place of another. Of an oversized
    body there is the beginning only, and it cannot be replayed.

    A message that was dropped before is `suspect` while it is worked alone, and `drops` counts those attempts: only one
    that keeps killing its worker is parked for it, however often a broker or a deployment dropped it. A replay is
    worked alone too, and its attempts are counted anew. It has a message id of its own, `replayed_as`, settled when it
    is asked for: however often it is attempted, the inbox lets it through once.
    """

    def __init__(self, metadata: MetaData) -> None:
        self.table = Table(
            "dead_letters",
            metadata,
            Column("message_id", String(255), primary_key=True),
            Column("producer", String(255), primary_key=True),
            Column("digest", String(64), primary_key=True),  # of the whole body; empty where it was not kept
            Column("reason", String(1000), nullable=False),
            Column("state", String(16), nullable=False),
            Column("type", String(255), nullable=False),
            Column("version", Integer, nullable=False),
            Column("correlation_id", String(255), nullable=False),
            Column("causation_id", String(255)),
            Column("occurred_at", UtcDateTime, nullable=False),
            Column("traceparent", String(255)),
            Column("content_type", String(255), nullable=False),
            Column("body", LargeBinary, nullable=False),
            Column("size", Integer, nullable=False),  # of the whole body
            Column("drops", Integer, nullable=False),
            Column("received_at", UtcDateTime, nullable=False),
            Column("replayed_as", Id),
            Column("replayed_at", UtcDateTime),
            info=PRUNED | WEB_WRITES,
        )
        self.ceilings = Ceilings(metadata)
        replaying = self.table.c.state == "replaying"
        Index("ix_dead_letters_replaying", self.table.c.message_id, postgresql_where=replaying, sqlite_where=replaying)
        settled = text("state IN ('replayed', 'discarded')")
        Index("ix_dead_letters_settled", self.table.c.received_at, postgresql_where=settled, sqlite_where=settled)
        letter = insert(self.table)
        self._key = key = [self.table.c.message_id, self.table.c.producer, self.table.c.digest]
        self._add = letter.on_conflict_do_update(
            index_elements=key,
            set_={"state": letter.excluded.state, "reason": letter.excluded.reason},
            where=self.table.c.state == "suspect",
        )
        self._count_attempt = letter.on_conflict_do_update(
            index_elements=key, set_={"drops": self.table.c.drops + 1}
        ).returning(self.table.c.drops)
        self._clear = delete(self.table).where(
            self.table.c.state == "suspect",
            *(column == bindparam(f"its_{column.name}") for column in key),
        )
        before, replayed_at = (
            bindparam("before", type_=UtcDateTime),
            self.table.c.replayed_at,
        )  # a replay is in the inbox
        old = (self.table.c.received_at < before) & (replayed_at.is_(None) | (replayed_at < before))
        oldest = select(*key).where(settled, old)
        oldest = oldest.order_by(self.table.c.received_at).limit(bindparam("most"))
        self._forget = delete(self.table).where(tuple_(*key).in_(oldest)).returning(self.table.c.message_id)
        replayed = update(self.table).where(self.table.c.replayed_as == bindparam("replay", type_=Id), replaying)
        self._count_replay = replayed.values(drops=self.table.c.drops + 1).returning(self.table.c.drops)
        self._done = replayed.values(state="replayed", replayed_at=bindparam("now", type_=UtcDateTime))

    def add(
        self, connection: Transaction, letters: Sequence[Letter], now: datetime, per_hour: int | None = None
    ) -> Sequence[Letter]:
        """Keep these deliveries with the reason why they could not be worked, of each producer and kind of reason at
        most `per_hour`; returns those that are kept, the others are counted."""
        kept = letters if per_hour is None else self.ceilings.within(connection, letters, now, per_hour)
        if kept:
            connection.execute(self._add, [_row(each.envelope, each.drops, reason, now) for each, reason in kept])
        return kept

    def count_attempt(self, connection: Connection, delivery: Delivery, now: datetime) -> int:
        """Count an attempt to work this message alone; returns how many there were, with this one."""
        if delivery.replay_of:
            return int(connection.execute(self._count_replay, {"replay": delivery.envelope.id}).scalar_one())
        row = _row(delivery.envelope, 1, "suspect: dropped before, worked alone", now) | {"state": "suspect"}
        return int(connection.execute(self._count_attempt, row).scalar_one())

    def clear(self, connection: Connection, delivery: Delivery) -> None:
        """It was worked, and the process lives."""
        row = _key(delivery.envelope)
        connection.execute(self._clear, {f"its_{name}": value for name, value in row.items()})

    def to_replay(self, connection: Connection, most: int) -> list[Delivery]:
        """At most `most` letters that an operator wants worked again, as deliveries under their new id."""
        wanted = select(self.table).where(self.table.c.state == "replaying").order_by(self.table.c.message_id)
        return [
            Delivery(envelope=_envelope(row), tag=0, replay_of=row["message_id"])
            for row in connection.execute(wanted.limit(most)).mappings()
        ]

    def replayed(self, connection: Transaction, deliveries: Sequence[Delivery], now: datetime) -> None:
        """These replays are worked in this transaction, whatever came of them."""
        done = [{"replay": each.envelope.id, "now": now} for each in deliveries if each.replay_of]
        if done:
            connection.execute(self._done, done)

    def find(
        self,
        connection: Connection,
        *,
        state: str | None = "parked",
        like: Like = ANY,
        correlation_id: str | None = None,
        most: int = 200,
    ) -> Sequence[RowMapping]:
        """At most `most` letters, the oldest first; only those of one correlation id, if it is given."""
        wanted = (
            select(self.table).where(*self._alike(like)).order_by(self.table.c.received_at, self.table.c.message_id)
        )
        if state:
            wanted = wanted.where(self.table.c.state == state)
        if correlation_id:
            wanted = wanted.where(self.table.c.correlation_id == correlation_id)
        return connection.execute(wanted.limit(most)).mappings().all()

    def groups(self, connection: Connection) -> Counter[tuple[str, str]]:
        """How many are parked of each kind and type."""
        wanted = select(self.table.c.reason, self.table.c.type).where(self.table.c.state == "parked")
        return Counter((kind_of(row.reason), row.type) for row in connection.execute(wanted))

    def count_parked(self, connection: Connection, most: int) -> int:
        """How many are parked, counted up to `most`."""
        some = select(self.table.c.message_id).where(self.table.c.state == "parked").limit(most).subquery()
        return int(connection.execute(select(func.count()).select_from(some)).scalar_one())

    def get(self, connection: Connection, message_id: str) -> RowMapping | None:
        """The letter with this message id; the oldest, if several producers or bodies have it."""
        wanted = select(self.table).where(self.table.c.message_id == message_id).order_by(self.table.c.received_at)
        return connection.execute(wanted).mappings().first()

    def replay(
        self, connection: Connection, ids: Collection[str] | None, *, now: datetime, new_id: NewId, like: Like = ANY
    ) -> list[str]:
        """Ask for these parked letters, or for all (None) that are alike, to be worked again; returns their ids. A
        letter that is not there whole stays as it is."""
        whole = func.length(self.table.c.body) == self.table.c.size
        wanted = select(*self._key).where(*self._parked(ids, like), whole).with_for_update(skip_locked=True)
        found = connection.execute(wanted.order_by(*self._key)).all()
        for each in found:
            row = update(self.table).where(*(column == value for column, value in zip(self._key, each, strict=True)))
            connection.execute(row.values(state="replaying", drops=0, replayed_as=new_id(now)))
        return sorted({each.message_id for each in found})

    def discard(self, connection: Connection, ids: Collection[str] | None, like: Like = ANY) -> list[str]:
        """Give up these parked letters, or all (None) that are alike: they are kept for a while, and nobody is called.

        Returns their ids.
        """
        given_up = update(self.table).where(*self._parked(ids, like)).values(state="discarded")
        return sorted(set(connection.execute(given_up.returning(self.table.c.message_id)).scalars()))

    def prune(self, connection: Transaction, before: datetime, most: int) -> int:
        """Forget at most `most` letters that came before then and are replayed or given up; returns how many. What is
        parked is kept, however old."""
        return len(list(connection.execute(self._forget, {"before": before, "most": most})))

    def _parked(self, ids: Collection[str] | None, like: Like) -> list[ColumnElement[bool]]:
        named = [] if ids is None else [self.table.c.message_id.in_(ids)]
        return [self.table.c.state == "parked", *named, *self._alike(like)]

    def _alike(self, like: Like) -> Iterator[ColumnElement[bool]]:
        reason = self.table.c.reason
        if like.kind is not None:
            yield or_(reason == like.kind, reason.startswith(f"{like.kind}:", autoescape=True))
        if like.type is not None:
            yield self.table.c.type == like.type


def kind_of(reason: str) -> str:
    """What letters are grouped by: what is before the colon."""
    return reason.partition(":")[0]


def _key(envelope: Envelope) -> dict[str, str]:
    return {"message_id": as_text(envelope.id), "producer": as_text(envelope.producer), "digest": envelope.digest}


def _row(envelope: Envelope, drops: int, reason: str, now: datetime) -> dict[str, Any]:
    return {
        **_key(envelope),
        "reason": as_text(reason, 1000),
        "state": "parked",
        "type": as_text(envelope.type),
        "version": envelope.version if abs(envelope.version) < 1 << 31 else -1,
        "correlation_id": as_text(envelope.correlation_id),
        "causation_id": envelope.causation_id and as_text(envelope.causation_id),
        "occurred_at": envelope.occurred_at,
        "traceparent": envelope.traceparent and as_text(envelope.traceparent),
        "content_type": as_text(envelope.content_type),
        "body": envelope.body,
        "size": envelope.size,
        "drops": drops,
        "received_at": now,
    }


def _envelope(row: RowMapping) -> Envelope:
    same = {name: row[name] for name in Envelope.__struct_fields__ if name not in ("id", "body", "cut")}
    return Envelope(id=row["replayed_as"], body=bytes(row["body"]), **same)
