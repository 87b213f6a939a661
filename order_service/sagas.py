"""The sagas loaded for one transaction, and new ones: moved in memory by what they hear, written by `Sagas.flush`."""

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from order_service import store
from order_service.chain import BEGINNING, link
from order_service.fulfillment.decide import Decision, Entry, decide, pass_over, put_off
from order_service.fulfillment.saga import Heard, Saga, Workflow
from order_service.measures import observe
from order_service.store import Row, json, saga_from
from order_service.tables import TABLES
from order_service.terms import Flows, flow_of
from shared.clock import Jump
from shared.contracts import Event
from shared.database import Transaction, timestamp
from shared.logs import about
from shared.messaging.envelope import Envelope
from shared.messaging.handling import Unprocessable

log = logging.getLogger("fulfillment.orders")

LOOK_AGAIN = timedelta(seconds=10)  # whether what was to be asked has left meanwhile
NEVER = datetime(9999, 12, 1, tzinfo=UTC)  # not at rest, and not waiting for any time either


@dataclass(slots=True)
class Held:
    """One saga in hand: as it was read, as it is now, and the history that came between."""

    order_id: str
    flow: Workflow
    saga: Saga
    version: int  # of the last entry of its history
    history_hash: str  # likewise
    updated_at: datetime
    wake_at: datetime | None
    before: Saga | None = None  # None: it is new
    row: Row | None = None
    entries: list[dict[str, Any]] = field(default_factory=list)
    decided: list[Entry] = field(default_factory=list)  # the same, before they became rows

    @classmethod
    def start(cls, order_id: str, flow: Workflow, facts: Mapping[str, Any], now: datetime) -> "Held":
        """A new order's saga, that has heard nothing yet."""
        return cls(order_id, flow, Saga.start(flow, facts), 0, BEGINNING, now, None)

    @classmethod
    def read(cls, row: Row, flows: Flows) -> "Held":
        """A saga of the database. Raises UnknownVersion."""
        order_id, saga = row["order_id"], saga_from(row)
        flow = flow_of(flows, order_id, row["workflow_version"])
        last = row["version"], row["history_hash"], row["updated_at"]
        return cls(order_id, flow, saga, *last, row["wake_at"], saga, row)

    @property
    def changed(self) -> bool:
        """Whether it must be written."""
        return self.row is None or bool(self.entries) or self.wake_at != self.row["wake_at"]

    def put_off(self, unsent: Collection[str], now: datetime) -> None:
        """What messages of these types ask for has not left: patience for it does not run out, and begins anew later
        than when they leave."""
        saga = put_off(self.flow, self.saga, unsent, now + LOOK_AGAIN)
        if saga is not self.saga:
            self.saga, self.wake_at = saga, now + LOOK_AGAIN

    def pass_over(self, jump: Jump) -> None:
        """Nobody was silent while the clock jumped."""
        saga = pass_over(self.flow, self.saga, jump.at, jump.by)
        if saga is not self.saga:
            self.saga, self.wake_at = saga, saga.deadline

    def hear(self, event: Heard, now: datetime, actor: str, message_id: str | None = None) -> Decision:
        """Decide what the event means, and note it for the history."""
        decision = decide(self.flow, self.saga, event, now)
        self.saga = decision.saga
        for entry in decision.history:
            self.version += 1
            # A transaction that waited for the lock has read an older clock.
            self.updated_at = max(now, self.updated_at)
            row = _entry_row(self, entry, actor, message_id)
            row["hash"] = self.history_hash = link(self.history_hash, row)
            self.entries.append(row)
            self.decided.append(entry)
        self.wake_at = wake_at(self.flow, self.saga, self.wake_at, now)
        return decision


class Sagas:
    """The sagas that one transaction works on. Those that were read are locked. `flush` writes what changed."""

    def __init__(self, connection: Transaction, now: datetime, held: Iterable[Held]) -> None:
        self.cause: Envelope | None = None
        self.recovered: set[str] = set()  # services that answered again, after having been asked more than once
        self.held = {each.order_id: each for each in held}
        self._connection, self._now = connection, now

    @classmethod
    def load(
        cls, connection: Transaction, order_ids: Iterable[str], flows: Flows, now: datetime, jump: Jump | None = None
    ) -> "Sagas":
        """The sagas of these orders; `jump` is how the clock jumped ahead, if it did. Raises UnknownVersion."""
        found = cls(connection, now, (Held.read(row, flows) for row in store.lock_sagas(connection, order_ids)))
        found._put_off(jump)
        return found

    @classmethod
    def due(cls, connection: Transaction, flows: Flows, now: datetime, most: int, jump: Jump | None = None) -> "Sagas":
        """At most `most` sagas whose time has come and that nobody else has locked. Raises UnknownVersion."""
        found = cls(connection, now, (Held.read(row, flows) for row in store.lock_due_sagas(connection, now, most)))
        found._put_off(jump)
        return found

    @classmethod
    def waiting(cls, connection: Transaction, flows: Flows, now: datetime, most: int) -> "Sagas":
        """At most `most` sagas that wait for longer than anybody who was asked for the first time, and that nobody else
        has locked. Raises UnknownVersion."""
        first = max(step.timeout for flow in flows.values() for step in flow.steps if step.request)
        latest = now + max(flow.slowest for flow in flows.values())
        rows = store.lock_waiting_sagas(connection, min(now + first, latest - first), latest, most)
        return cls(connection, now, (Held.read(row, flows) for row in rows))

    def _put_off(self, jump: Jump | None) -> None:
        """Nobody's patience runs out because the clock jumped, or while a request is still in the outbox."""
        if jump:
            for held in self.held.values():
                held.pass_over(jump)
        late = [held for held in self.held.values() if held.wake_at and held.wake_at <= self._now]
        if late:
            unsent = TABLES.outbox.unsent(self._connection, [held.order_id for held in late])
            for held in late:
                held.put_off(unsent.get(held.order_id, ()), self._now)

    def hear(self, fact: Event) -> tuple[Event, ...]:
        """Tell the saga of its order; returns what is to be published."""
        held = self.held.get(fact.order_id)
        if held is None:
            raise Unprocessable(f"unknown_order: {fact.order_id}")
        message_id = self.cause.id if self.cause else None
        before = held.saga
        decision = held.hear(fact, self._now, fact.producer, message_id)
        step = decision.history[0].step
        if decision.acted and step and before.steps[step].attempts > 1:
            self.recovered.add(fact.producer)
        return decision.messages

    def flush(self) -> None:
        """Write every saga that is new or changed, every order that reads differently now, and the history."""
        changed = [held for held in self.held.values() if held.changed]
        new = [_saga_row(held) | {"workflow_version": held.flow.version} for held in changed if held.before is None]
        store.add_sagas(self._connection, new)
        rows = {held.order_id: _saga_row(held) for held in changed if held.before}
        store.save_sagas(self._connection, list(rows.values()))
        store.save_orders(self._connection, [row for held in changed if (row := _standing_row(held))])
        store.append_history(self._connection, [entry for held in changed for entry in held.entries])
        observe(changed)
        for order_id, row in rows.items():
            if row["backward"] or row["needs_attention"]:
                _log(self.held[order_id], row["needs_attention"])


def _log(held: Held, needs_attention: bool) -> None:
    """Tell that an order turns back, or that a step needs a person from now on; again if the transaction fails."""
    assert held.before
    saga, before = held.saga, held.before
    if saga.backward and not before.backward:
        why = f"{saga.reason} ({saga.reason_detail})" if saga.reason_detail else saga.reason
        log.info("the order turns back: %s", why, extra=about(held.order_id))
    for step in held.flow.steps if needs_attention else ():
        problem = saga.problem(step)
        if problem and problem != before.problem(step):
            log.warning("%s needs a person: %s", step.name, problem, extra=about(held.order_id))


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


def _entry_row(held: Held, entry: Entry, actor: str, message_id: str | None) -> dict[str, Any]:
    return {
        "order_id": held.order_id,
        "seq": held.version,
        "at": timestamp(held.updated_at),
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


def _saga_row(held: Held) -> dict[str, Any]:
    """What is written of a saga; its facts are None when they are the same as were read."""
    saga = held.saga
    return {
        "order_id": held.order_id,
        "facts": None if held.before and saga.facts is held.before.facts else json(saga.facts),
        "steps": json(saga.steps),
        "backward": saga.backward,
        "reason": saga.reason,
        "reason_detail": saga.reason_detail,
        "needs_attention": saga.needs_attention(held.flow),
        "wake_at": held.wake_at and timestamp(held.wake_at),
        "version": held.version,
        "updated_at": timestamp(held.updated_at),
        "history_hash": held.history_hash,
    }


def _standing_row(held: Held) -> dict[str, Any] | None:
    """How an order that was read stands now, or None when it stands as before."""
    if held.row is None or not held.entries:
        return None
    was, status = held.entries[0]["from_status"], held.entries[-1]["to_status"]
    attention = held.saga.needs_attention(held.flow)
    if (status, held.saga.reason, attention) == (was, held.row["reason"], held.row["needs_attention"]):
        return None
    return {
        "id": held.order_id,
        "status": status,
        "reason": held.saga.reason,
        "reason_detail": held.saga.reason_detail,
        "needs_attention": attention,
    }
