"""Heals orders: each in one transaction that locks it, decides, and writes state, history and messages together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from order_service.fulfillment.differences import Difference, Healing
from order_service.fulfillment.inputs import DifferenceFound
from order_service.reconciliation.reading import tried
from order_service.sagas import Held, Sagas
from order_service.tables import TABLES
from order_service.terms import Flows
from shared.bounds import words
from shared.contracts import Event
from shared.ids import NewId
from shared.messaging.envelope import enclose

ACTOR = "reconciliation"
IN_VAIN = 5  # times that the same was found before, then it is not tried again


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What differed of an order when it was at this version."""

    order_id: str
    version: int
    differences: Sequence[Difference]


@dataclass(frozen=True, kw_only=True)
class Healed:
    """What was done about a difference."""

    order_id: str
    difference: Difference


def heal(connection: Connection, found: Sequence[Compared], flows: Flows, now: datetime, new_id: NewId) -> list[Healed]:
    """Heal what these orders differ in; returns what was done.

    An order that has moved since it was compared is left alone, and so is one whose messages have not left yet. Raises
    UnknownVersion.
    """
    sagas = Sagas.load(connection, [each.order_id for each in found], flows, now)
    ids = list(sagas.held)
    before, unsent = tried(connection, ids), TABLES.outbox.unsent(connection, ids)
    healed: list[Healed] = []
    said: list[Event] = []
    for each in found:
        held = sagas.held.get(each.order_id)
        if held is None or held.version != each.version or each.order_id in unsent:
            continue
        for difference in each.differences:
            if todo := still_to_do(held, difference, before.get((each.order_id, difference.detail), 0)):
                said += tell(held, todo, now)
                healed.append(Healed(order_id=each.order_id, difference=todo))
    sagas.flush()
    TABLES.outbox.add(connection, [enclose(each, at=now, new_id=new_id) for each in said], due_at=now)
    return healed


def still_to_do(held: Held, difference: Difference, times: int) -> Difference | None:
    """What is to be done when the same was found so often before: in the end a person is called, if nobody else asks
    again. None when one was called, or when the order's own deadlines see to it."""
    if times < IN_VAIN or difference.healing is Healing.PERSON:
        return difference
    if difference.healing is not Healing.REBUILD:
        return None
    detail = words(f"asked for {times} times in vain: {difference.detail}")
    was = held.saga.steps[difference.step].problem
    return None if was and was.words == detail else replace(difference, healing=Healing.PERSON, detail=detail)


def tell(held: Held, difference: Difference, now: datetime) -> Iterator[Event]:
    """Tell the order; what it says is to be published."""
    step, note = difference.step, difference.detail
    event = DifferenceFound(step=step, meaning=difference.meaning, healing=difference.healing, note=note)
    yield from held.hear(event, now, ACTOR).messages
