"""What an order does about a difference, and how one that was lost is found again. Pure; a part of `decide`."""

from datetime import datetime

from order_service.fulfillment.differences import Healing, Meaning, askable
from order_service.fulfillment.inputs import DifferenceFound, WorkFound
from order_service.fulfillment.parts import PARTS, Stage
from order_service.fulfillment.saga import (
    ACTED,
    ASKED,
    Heard,
    Kind,
    Problem,
    Progress,
    Reason,
    Saga,
    StepStatus,
    Workflow,
)
from shared.contracts import Event
from shared.values import changed

LOST = "the order was lost, and is found again by what was done for it: who ordered it is not known"


def hear_difference(flow: Workflow, saga: Saga, event: DifferenceFound, now: datetime) -> tuple[Saga, str]:
    """Make the move that heals it, if the order still allows it."""
    if (step := flow.named.get(event.step)) is None:
        return saga, "noted: no such step"
    was = saga.steps[step.name]
    match Healing(event.healing):
        case Healing.ASK if was.status in ASKED and was.deadline:
            # What was answered already is not given up for silence.
            answered = event.meaning == Meaning.ANSWER_LOST and step.kind is Kind.COMPENSATABLE
            attempts = min(was.attempts, step.attempts - 1) if answered else was.attempts
            return saga.put(step, changed(was, attempts=attempts, deadline=now)), ACTED
        case Healing.REBUILD if askable(step, saga.facts):
            return saga, ACTED
        case Healing.UNDO if saga.backward and step.undo and was.status not in ASKED:
            settled_at = None if saga.owing else was.settled_at or now  # an order that is cancelled stays so
            return saga.put(
                step, Progress(StepStatus.COMPENSATING, 0, was.requested_at, settled_at, now, was.problem)
            ), ACTED
        case Healing.TURN_BACK if not saga.backward and saga.steps[flow.pivot.name].status is not StepStatus.DONE:
            return withdrawn(flow, saga, now).turn_back(Reason.PARTICIPANT_UNDONE, event.note), ACTED
        case Healing.PERSON:
            return saga.put(step, changed(was, problem=Problem(event.note or event.meaning))), ACTED
    return saga, f"noted: {step.name} is {was.status}"


def rebuilt(flow: Workflow, event: Heard, outcome: str) -> type[Event] | None:
    """What is to be asked for once more, although the order does not move."""
    if isinstance(event, DifferenceFound) and event.healing == Healing.REBUILD and outcome == ACTED:
        return flow.named[event.step].request
    return None


def withdrawn(flow: Workflow, saga: Saga, now: datetime) -> Saga:
    """The pivot, if it was asked for, is asked for no longer."""
    was = saga.steps[flow.pivot.name]
    if was.status is not StepStatus.REQUESTED:
        return saga
    return saga.put(flow.pivot, Progress(StepStatus.WITHDRAWN, was.attempts, was.requested_at, now, None))


def hear_found(flow: Workflow, saga: Saga, event: WorkFound, now: datetime) -> tuple[Saga, str]:
    """An order that nobody knows any more, by how far its participants are.

    Is it paid, and have the goods or the parcel left, it is past its pivot: it goes on, and a person is called. Else it
    is dead: all that may have been done is undone, and what cannot be undone calls a person.
    """
    if any(each.status is not StepStatus.WAITING for each in saga.steps.values()):
        return saga, "noted: the order is known"
    found = {part.service: Stage(event.stages[part.service]) for part in PARTS}
    if past_pivot(found):
        return forward(flow, saga, now), ACTED
    for part in PARTS:
        step = flow.named[part.first]
        progress = Progress(StepStatus.REQUESTED, 1, now, None, now)
        if found[part.service] in part.lasting:
            problem = Problem(f"{Meaning.CANNOT_BE_UNDONE.replace('_', ' ')}: {part.service} has finished, {LOST}")
            progress = Progress(StepStatus.WITHDRAWN, 1, now, now, None, problem)
        saga = saga.put(step, progress)
    return saga.turn_back(Reason.UNKNOWN_ORDER, LOST), ACTED


def past_pivot(found: dict[str, Stage]) -> bool:
    """Whether it was paid, and something has left that cannot come back."""
    there = all(found[part.service] in (Stage.HELD, Stage.FINISHING, Stage.FINISHED) for part in PARTS)
    left = any(found[part.service] in part.lasting for part in PARTS)
    return there and left and found["payment"] is Stage.FINISHED


def forward(flow: Workflow, saga: Saga, now: datetime) -> Saga:
    """All is done up to the pivot."""
    done = Progress(StepStatus.DONE, 1, now, now)
    for step in flow.steps:
        if step.kind is Kind.PIVOT:
            saga = saga.put(step, changed(done, problem=Problem(LOST)))
        elif step.kind is Kind.COMPENSATABLE:
            skipped = step.when is not None and not saga.facts[step.when]
            saga = saga.put(step, changed(done, status=StepStatus.SKIPPED) if skipped else done)
    return saga
