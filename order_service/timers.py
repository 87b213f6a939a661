"""Timers: deadlines pass for the sagas that they are due for, and come nearer when somebody answers again."""

from datetime import datetime

from order_service.fulfillment.decide import asked
from order_service.fulfillment.inputs import DeadlineMoved, Tick
from order_service.fulfillment.saga import ASKED, Kind, Progress, Step, StepStatus, Workflow
from order_service.sagas import Sagas
from order_service.tables import TABLES
from order_service.terms import Flows
from shared.clock import Jump
from shared.contracts import Event
from shared.database import Transaction

TICK = Tick()
LOOKED_AT = 200  # of those who wait for anybody
WOKEN_AT_A_TIME = 20  # few, because whoever has come back may not bear much; each answer wakes as many again


def due(
    connection: Transaction,
    flows: Flows,
    now: datetime,
    most: int,
    recovered: set[str] | None = None,
    jump: Jump | None = None,
) -> list[Event]:
    """Say Tick to at most `most` sagas that are due; returns what is to be published.

    Each is locked, and passed over by other workers meanwhile: nobody acts twice, and a crash only makes it late.
    The services named in `recovered` have answered after a retry: some more orders that wait for them are asked for
    again now. Then `recovered` is emptied. `jump` is how the clock jumped ahead, if it did: that is nobody's silence.
    """
    sagas = Sagas.due(connection, flows, now, most, jump)
    said = [message for held in sagas.held.values() for message in held.hear(TICK, now, "clock").messages]
    sagas.flush()
    if recovered:
        said += wake(connection, flows, now, frozenset(recovered))
        recovered.clear()
    return said


def wake(connection: Transaction, flows: Flows, now: datetime, recovered: frozenset[str]) -> list[Event]:
    """Ask again, now, for what these services have left unanswered for long; returns what is to be published."""
    sagas = Sagas.waiting(connection, flows, now, LOOKED_AT)
    unsent = TABLES.outbox.unsent(connection, list(sagas.held))
    said: list[Event] = []
    for held in sagas.held.values():
        if held.order_id in unsent or len(said) >= WOKEN_AT_A_TIME:
            continue
        for step in held.flow.steps:
            progress = held.saga.steps[step.name]
            if getattr(step.success, "producer", None) in recovered and waits(held.flow, step, progress, now):
                heard = DeadlineMoved(step=step.name, deadline=now, note=f"{step.name} is answered again")
                said += held.hear(heard, now, "clock").messages
    sagas.flush()
    return said


def waits(flow: Workflow, step: Step, progress: Progress, now: datetime) -> bool:
    """Whether this step was asked again, not just now, and is asked for as long as nobody answers."""
    for_ever = progress.status is StepStatus.COMPENSATING or step.kind is not Kind.COMPENSATABLE
    if progress.status not in ASKED or not for_ever or progress.attempts < 2 or progress.deadline is None:
        return False
    patience = asked(flow, step, progress, progress.status, progress.attempts, now).deadline
    return patience is not None and patience - progress.deadline >= step.timeout
