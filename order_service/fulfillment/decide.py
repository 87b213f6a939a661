"""What an event means for one order. Pure: no clock, no database, no broker, no randomness."""

from collections.abc import Collection
from datetime import datetime, timedelta

from order_service.fulfillment import saga as S  # noqa: N812 - by way of its enum, each status would cost a call on Python 3.11
from order_service.fulfillment.healing import hear_difference, hear_found, rebuilt
from order_service.fulfillment.inputs import (
    CancellationRequested,
    DeadlineMoved,
    DifferenceFound,
    OrderPlaced,
    RetryRequested,
    ReversalRequested,
    SettlementRequested,
    StepInput,
    Tick,
    WorkFound,
)
from order_service.fulfillment.saga import (
    ASKED,
    Heard,
    Kind,
    OrderStatus,
    Problem,
    Progress,
    Reason,
    Saga,
    Step,
    StepStatus,
    Workflow,
    contradiction,
)
from shared.contracts import Event
from shared.values import Value, changed, compose

ACTED = S.ACTED


class Entry(Value, frozen=True):
    """One line of an order's history: what was heard, what it meant, and all that was done about it."""

    event: str
    step: str | None
    outcome: str  # ACTED, or why the event was only noted
    detail: str | None
    did: tuple[str, ...]
    from_status: OrderStatus
    to_status: OrderStatus


class Decision(Value, frozen=True):
    """What became of the saga, what to send, and what to write down: one entry, or none after an idle tick."""

    saga: Saga
    messages: tuple[Event, ...]
    history: tuple[Entry, ...]

    @property
    def acted(self) -> bool:
        """Whether the event itself was accepted, not only noted."""
        return any(entry.outcome == ACTED for entry in self.history)


def decide(flow: Workflow, saga: Saga, event: Heard, now: datetime) -> Decision:
    """Hear the event, then make every move that is owed `now` (UTC).

    Never raises: every event in every state has an answer, and one that is repeated, or late, changes nothing.
    """
    name, heard, outcome = hear(flow, saga, event, now)
    after = lose_patience(flow, heard, now)
    messages, did = list[Event](), list[str]()
    for step in flow.steps:  # one pass is enough, because `after` points backwards
        if move := owed(flow, after, step, now):
            after = after.put(step, move.progress)
            did.append(f"{step.name} {move.what}")
            if move.message is not None:
                messages.append(compose(move.message, after.facts))
    if again := rebuilt(flow, event, outcome):
        messages.append(compose(again, after.facts))
        did.append(f"{name} asked for once more")
    if isinstance(event, Tick) and not did:
        return Decision(saga, (), ())
    detail = getattr(event, "detail", None)
    entry = Entry(event.type, name, outcome, detail, tuple(did), saga.status(flow), after.status(flow))
    return Decision(after, tuple(messages), (entry,))


def hear(flow: Workflow, saga: Saga, event: Heard, now: datetime) -> tuple[str | None, Saga, str]:
    """Write down what the event says about its own step, where it still matters; ask nothing of anybody yet."""
    if meant := flow.meaning.get(type(event)):
        step, says = meant
        return step.name, *hear_fact(saga, step, says, event, now)
    if isinstance(event, WorkFound):
        return None, *hear_found(flow, saga, event, now)
    if isinstance(event, DifferenceFound):
        return event.step, *hear_difference(flow, saga, event, now)
    if isinstance(event, StepInput):
        named = flow.named.get(event.step)
        return event.step, *(hear_operator(saga, named, event, now) if named else (saga, "noted: no such step"))
    return None, *hear_order(flow, saga, event)


def hear_fact(saga: Saga, step: Step, reported: StepStatus, event: Heard, now: datetime) -> tuple[Saga, str]:
    """What a participant, or a person, reports of a step; what comes too late to be acted on may still be learned."""
    was, wrong = saga.steps[step.name], contradiction(saga, step, event)
    problem = wrong and (was.problem if was.problem and was.problem.words == wrong.words else wrong)
    match reported, was.status:
        case _, S.WAITING | S.SKIPPED:
            return saga, "noted: never asked"
        case S.COMPENSATED | S.COMPENSATING, S.REQUESTED | S.DONE | S.FAILED:
            return saga, "noted: no undo was asked"
        case S.DONE, S.FAILED if step.undo:
            # It succeeded after a refusal: undo it, without opening an order again that is cancelled by now.
            settled_at = None if saga.owing else was.settled_at
            undoing = Progress(S.COMPENSATING, 0, was.requested_at, settled_at, now, problem)
            return (saga if problem else saga.learn(event)).put(step, undoing), ACTED
        case _ if problem:
            return saga.put(step, changed(was, problem=problem)), f"noted: {problem.words}"[:200]
        case S.DONE, S.REQUESTED:
            return saga.learn(event).put(step, settled(was, S.DONE, now)), ACTED
        case S.FAILED, S.REQUESTED:
            failed = saga.put(step, settled(was, S.FAILED, now))
            return failed.turn_back(step.refusal, getattr(event, "detail", None)), ACTED
        case S.COMPENSATED, S.COMPENSATING:
            return saga.learn(event).put(step, settled(was, S.COMPENSATED, now)), ACTED
        case S.COMPENSATING, S.COMPENSATING if was.deadline:
            refused = Problem(f"refused: {getattr(event, 'detail', '')}")
            return saga.learn(event).put(step, changed(was, deadline=None, problem=refused)), ACTED
        case _:  # too late to act on, yet true: the amounts shown must be right in the end
            return saga.learn(event), f"noted: already {was.status}"


def hear_order(flow: Workflow, saga: Saga, event: Heard) -> tuple[Saga, str]:
    """What is said about the order as a whole: it was placed, is to be cancelled, or time has passed."""
    pivot = saga.steps[flow.pivot.name].status
    match event:
        case Tick():
            return saga, ACTED
        case OrderPlaced():
            new = not saga.backward and all(p.status is S.WAITING for p in saga.steps.values())
            return saga, ACTED if new else "noted: already placed"
        case CancellationRequested() if saga.backward:
            return saga, "noted: already turned back"
        case CancellationRequested(by=by) if pivot is S.WAITING:
            return saga.turn_back(Reason(f"{by}_request"), event.note), ACTED
        case CancellationRequested():
            return saga, f"noted: too late, {flow.pivot.name} is {pivot}"
        case _:
            return saga, f"noted: no part of version {flow.version} of the workflow"


def hear_operator(saga: Saga, step: Step, event: StepInput, now: datetime) -> tuple[Saga, str]:
    """What an operator wants done about one step; what the step does not allow is noted and changes nothing."""
    was = saga.steps[step.name]
    match event:
        case ReversalRequested() if step.kind is Kind.PIVOT and was.status is S.REQUESTED:
            return saga.put(step, settled(was, S.WITHDRAWN, now)).turn_back(Reason.OPERATOR_REQUEST, event.note), ACTED
        case RetryRequested() if was.status in ASKED:
            return saga.put(step, changed(was, attempts=0, deadline=now, problem=None)), ACTED
        case SettlementRequested() if (why := saga.problem(step)) and (by_hand := settleable(step, was)):
            seen = Problem(why, settled=True)
            return saga.put(
                step, changed(was, status=by_hand, settled_at=was.settled_at or now, deadline=None, problem=seen)
            ), ACTED
        case DeadlineMoved(deadline=until) if was.status in ASKED and (until or step.request is None):
            return saga.put(step, changed(was, deadline=until)), ACTED
        case _:
            return saga, f"noted: {step.name} is {was.status}"


def settleable(step: Step, was: Progress) -> StepStatus | None:
    """What a step is when a person has seen to it; None when only its answer, or turning back, can help.

    What is taken for done must tell nothing that a later request needs; and nobody but payment says what was paid.
    """
    match was.status:
        case S.REQUESTED:
            return S.DONE if step.kind is Kind.RETRIABLE else None
        case S.COMPENSATING:
            return S.COMPENSATED
    return was.status


def put_off(flow: Workflow, saga: Saga, unsent: Collection[str], now: datetime) -> Saga:
    """What was asked for by messages of these types has not left yet: patience for it begins `now`, if it is over."""
    for step in flow.steps:
        was = saga.steps[step.name]
        asking = {S.REQUESTED: step.request, S.COMPENSATING: step.undo}.get(was.status)
        if asking and asking.type in unsent and overdue(was, now):
            saga = saga.put(step, asked(flow, step, was, was.status, was.attempts, now))
    return saga


def pass_over(flow: Workflow, saga: Saga, gone: datetime, jump: timedelta) -> Saga:
    """The clock jumped ahead from `gone`: what would have become due in between becomes so as much later."""
    for step in flow.steps:
        was = saga.steps[step.name]
        if was.deadline and gone < was.deadline <= gone + jump:
            saga = saga.put(step, changed(was, deadline=was.deadline + jump))
    return saga


def lose_patience(flow: Workflow, saga: Saga, now: datetime) -> Saga:
    """Turn back when a step that can be undone has let its last attempt go unanswered."""
    for step in flow.steps:
        progress = saga.steps[step.name]
        spent = progress.status is S.REQUESTED and progress.attempts >= step.attempts and overdue(progress, now)
        if spent and step.kind is Kind.COMPENSATABLE:
            wrong = f": {progress.problem.words}" if progress.problem else ""
            return saga.turn_back(step.silence, f"no answer from {step.name} in time{wrong}")
    return saga


class Move(Value, frozen=True):
    """How a step goes on: its new progress, the message to send if any, and the words for the history."""

    progress: Progress
    message: type[Event] | None
    what: str


def owed(flow: Workflow, saga: Saga, step: Step, now: datetime) -> Move | None:
    """The one move that this step owes the world as things stand, or None."""
    was = saga.steps[step.name]
    match was.status:
        case S.WAITING if not saga.backward and all(map(saga.settled, step.after)):
            if step.when and not saga.facts[step.when]:
                return Move(settled(was, S.SKIPPED, now), None, "skipped")
            return Move(asked(flow, step, was, S.REQUESTED, 1, now), step.request, "requested")
        case S.REQUESTED | S.DONE if saga.backward and step.kind is Kind.COMPENSATABLE:
            if step.undo is None:
                return Move(settled(was, S.WITHDRAWN, now), None, "withdrawn")
            return Move(asked(flow, step, was, S.COMPENSATING, 1, now), step.undo, "compensating")
        case S.REQUESTED | S.COMPENSATING if overdue(was, now):
            again = step.request if was.status is S.REQUESTED else step.undo
            what = f"{was.status} again, attempt {was.attempts + 1} of {step.attempts}"
            return Move(asked(flow, step, was, was.status, was.attempts + 1, now), again, what)
    return None


def overdue(progress: Progress, now: datetime) -> bool:
    return progress.deadline is not None and progress.deadline <= now


def settled(was: Progress, status: StepStatus, now: datetime) -> Progress:
    return Progress(status, was.attempts, was.requested_at, now, None)


def asked(flow: Workflow, step: Step, was: Progress, status: StepStatus, attempts: int, now: datetime) -> Progress:
    """Asked for the nth time: patience doubles up to the slowest pace, and never ends."""
    patience = min(step.timeout * 2 ** min(attempts - 1, 20), max(flow.slowest, step.timeout))
    settled_at = was.settled_at if status is was.status else None
    return Progress(status, attempts, was.requested_at or now, settled_at, now + patience, was.problem)
