"""Sagas in their database: a whole batch's read under lock by one statement, heard in memory, written back by three."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Boolean, Integer, RowMapping, String, bindparam, func, insert, select, update

from order_service.fulfillment.decide import Decision, Entry, decide
from order_service.fulfillment.saga import Heard, OrderStatus, Progress, Reason, Saga, Workflow
from order_service.tables import orders, saga_history, sagas
from shared.contracts import Event
from shared.database import Id, Transaction, UtcDateTime, batch_rows, timestamp
from shared.messaging.envelope import Envelope
from shared.messaging.handling import Stop, Unprocessable

Flows = Mapping[int, Workflow]  # by version

NEVER = datetime(9999, 12, 1, tzinfo=UTC)  # not at rest, and not waiting for any time either

_facts = msgspec.json.Decoder(dict[str, Any])
_steps = msgspec.json.Decoder(dict[str, Progress])

_keys = batch_rows("keys", order_id=Id)
_load = (
    select(sagas).join(_keys, sagas.c.order_id == _keys.c.order_id).order_by(sagas.c.order_id).with_for_update(of=sagas)
)
_due = (
    select(sagas)
    .where(sagas.c.wake_at <= bindparam("now", type_=UtcDateTime))
    .order_by(sagas.c.wake_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_moved = batch_rows(
    "moved",
    order_id=Id,
    facts=String,
    steps=String,
    backward=Boolean,
    reason=String,
    reason_detail=String,
    needs_attention=Boolean,
    wake_at=UtcDateTime,
    version=Integer,
    updated_at=UtcDateTime,
)
_save = (
    update(sagas)
    .where(sagas.c.order_id == _moved.c.order_id)
    .values({c.name: c for c in _moved.c if c.name not in ("order_id", "facts")})
    .values(facts=func.coalesce(_moved.c.facts, sagas.c.facts))
)
_standing = batch_rows("standing", id=Id, status=String, reason=String, reason_detail=String, needs_attention=Boolean)
_show = update(orders).where(orders.c.id == _standing.c.id).values({c.name: c for c in _standing.c if c.name != "id"})
_entries = batch_rows("entries", **{c.name: c.type for c in saga_history.c})
_enter = insert(saga_history).from_select([c.name for c in saga_history.c], select(*_entries.c))


class UnknownVersion(Stop):
    """An order runs a version of the workflow that this process does not have: it is older than the order."""


def flow_of(flows: Flows, order_id: str, version: int) -> Workflow:
    """The workflow that an order began with; raises UnknownVersion."""
    if version not in flows:
        known = ", ".join(map(str, flows))
        raise UnknownVersion(f"order {order_id} runs version {version} of the workflow, this program knows {known}")
    return flows[version]


@dataclass(slots=True)
class Held:
    """A saga in hand, with what was read of it and what is to be written."""

    order_id: str
    flow: Workflow
    saga: Saga
    before: Saga | None  # None: it is new
    version: int
    needed_attention: bool  # as it was read
    needs_attention: bool
    wake_at: datetime | None
    updated_at: datetime
    entries: list[dict[str, Any]] = field(default_factory=list)
    statuses: tuple[OrderStatus, OrderStatus] | None = None  # before and after what was heard
    changed: bool = False

    @classmethod
    def start(cls, order_id: str, flow: Workflow, facts: Mapping[str, Any], now: datetime) -> "Held":
        """A new order's saga, that has heard nothing yet."""
        saga = Saga.start(flow, facts)
        return cls(order_id, flow, saga, None, 0, False, False, None, now)

    @classmethod
    def read(cls, row: RowMapping, flows: Flows) -> "Held":
        saga = saga_from(row)
        order_id, attention = row["order_id"], row["needs_attention"]
        flow = flow_of(flows, order_id, row["workflow_version"])
        return cls(order_id, flow, saga, saga, row["version"], attention, attention, row["wake_at"], row["updated_at"])

    def hear(self, event: Heard, now: datetime, actor: str, message_id: str | None = None) -> Decision:
        """Decide what the event means, and remember what is to be written about it."""
        decision = decide(self.flow, self.saga, event, now)
        self.saga = decision.saga
        self.needs_attention = self.saga.needs_attention(self.flow)
        for entry in decision.history:
            self.version += 1
            # A transaction that waited for the lock has read an older clock.
            self.updated_at = max(now, self.updated_at)
            self.entries.append(history_row(self.order_id, self.version, self.updated_at, entry, actor, message_id))
            self.statuses = (self.statuses[0] if self.statuses else entry.from_status), entry.to_status
        waking = wake_at(self.flow, self.saga, self.wake_at, now)
        self.changed = self.changed or bool(decision.history) or waking != self.wake_at
        self.wake_at = waking
        return decision


class Sagas:
    """The sagas that one transaction works on, locked and in memory. `flush` writes what changed."""

    def __init__(self, connection: Transaction, rows: Iterable[RowMapping], flows: Flows, now: datetime) -> None:
        self.cause: Envelope | None = None
        self.held = {row["order_id"]: Held.read(row, flows) for row in rows}
        self._connection, self._now = connection, now

    @classmethod
    def load(cls, connection: Transaction, order_ids: Iterable[str], flows: Flows, now: datetime) -> "Sagas":
        """Lock and read the sagas of these orders, in one order for all workers. Raises UnknownVersion."""
        keys = [{"order_id": each} for each in set(order_ids)]
        return cls(connection, connection.execute(_load, {"keys": keys}).mappings(), flows, now)

    @classmethod
    def due(cls, connection: Transaction, flows: Flows, now: datetime, most: int) -> "Sagas":
        """Lock and read at most `most` sagas whose time has come, the longest overdue first, passing over those that
        another transaction has in hand."""
        return cls(connection, connection.execute(_due, {"now": now, "most": most}).mappings(), flows, now)

    def hear(self, fact: Event) -> tuple[Event, ...]:
        """Tell the saga of its order; returns what is to be published."""
        held = self.held.get(fact.order_id)
        if held is None:
            raise Unprocessable(f"unknown_order: {fact.order_id}")
        message_id = self.cause.id if self.cause else None
        return held.hear(fact, self._now, fact.producer, message_id).messages

    def flush(self) -> None:
        """Write every saga that changed, every order that reads differently now, and the history."""
        changed = [held for held in self.held.values() if held.changed]
        if changed:
            self._connection.execute(_save, {"moved": [saga_row(held) for held in changed]})
        if standing := [row for held in changed if (row := _standing_row(held))]:
            self._connection.execute(_show, {"standing": standing})
        append_history(self._connection, [entry for held in changed for entry in held.entries])


def wake_at(flow: Workflow, saga: Saga, was: datetime | None, now: datetime) -> datetime | None:
    """When the timers must look at this saga at the latest; None when it is at rest.

    That is the earliest deadline or any moment before it: a later deadline does not move it, because rewriting an
    indexed column with every event would cost PostgreSQL a new entry in every index of the table. When the moment comes
    too early, nothing is due, and it is corrected then.
    """
    earliest = saga.deadline
    if earliest is None:
        return None if saga.status(flow).final else NEVER
    return was if was is not None and now < was <= earliest else earliest


def saga_from(row: RowMapping) -> Saga:
    """The saga in a row that has the columns of `sagas`."""
    reason = row["reason"]
    return Saga(
        facts=_facts.decode(row["facts"]),
        steps=_steps.decode(row["steps"]),
        backward=row["backward"],
        reason=Reason(reason) if reason else None,
        reason_detail=row["reason_detail"],
    )


def json(value: Any) -> str:
    """A value as the text that a column keeps. SQLite would read it anew for every other column of its row."""
    return msgspec.json.encode(value).decode()


def history_row(
    order_id: str, seq: int, at: datetime, entry: Entry, actor: str, message_id: str | None = None
) -> dict[str, Any]:
    """A line of history for `append_history`."""
    return {
        "order_id": order_id,
        "seq": seq,
        "at": timestamp(at),
        "event": entry.event,
        "message_id": message_id,
        "actor": actor,
        "step": entry.step,
        "outcome": entry.outcome,
        "detail": entry.detail,
        "did": json(entry.did),
        "from_status": entry.from_status,
        "to_status": entry.to_status,
    }


def append_history(connection: Transaction, entries: Sequence[Mapping[str, Any]]) -> None:
    if entries:
        connection.execute(_enter, {"entries": entries})


def saga_row(held: Held) -> dict[str, Any]:
    """What is written of a saga; its facts are None when they are the same as were read."""
    saga = held.saga
    return {
        "order_id": held.order_id,
        "facts": None if held.before and saga.facts is held.before.facts else json(saga.facts),
        "steps": json(saga.steps),
        "backward": saga.backward,
        "reason": saga.reason,
        "reason_detail": saga.reason_detail,
        "needs_attention": held.needs_attention,
        "wake_at": held.wake_at and timestamp(held.wake_at),
        "version": held.version,
        "updated_at": timestamp(held.updated_at),
    }


def _standing_row(held: Held) -> dict[str, Any] | None:
    """How the order stands now, or None when it stands as before."""
    if not held.before or not held.statuses:
        return None
    was, status = held.statuses
    same = status is was and held.saga.reason is held.before.reason
    if same and held.needs_attention == held.needed_attention:
        return None
    return {
        "id": held.order_id,
        "status": status,
        "reason": held.saga.reason,
        "reason_detail": held.saga.reason_detail,
        "needs_attention": held.needs_attention,
    }
