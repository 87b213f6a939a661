"""All states and transitions of each step, found by asking `decide`, as text: `describe --states`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from order_service.fulfillment.decide import decide
from order_service.fulfillment.inputs import (
    CancellationRequested,
    RetryRequested,
    ReversalRequested,
    SettlementRequested,
    Tick,
)
from order_service.fulfillment.saga import Heard, Progress, Saga, Step, StepStatus, Workflow
from shared.contracts import Event
from shared.values import changed

MORNING = datetime(2026, 1, 1, tzinfo=UTC)
ATTEMPTS = 2  # at most: enough to tell an asking again from one that is parked
SAMPLE: Mapping[str, Any] = {
    "order_id": "01900000-0000-7000-8000-000000000001",
    "amount": 1999,
    "currency": "EUR",
    "payment_token": "tok_visa",
    "lines": [{"sku": "POPULAR-LAMP", "quantity": 1}],
    "ship_to": {"name": "Ada", "line1": "1 Main Street", "city": "Berlin", "postal_code": "10115", "country": "DE"},
    "needs_approval": True,
    "authorization_id": "authorization-1",
    "authorized": 1999,
    "captured": 1999,
    "carrier": "northwind-parcels",
    "tracking_number": "NW1",
    "detail": "no",
}


@dataclass(frozen=True, kw_only=True)
class Transition:
    """Where a step goes when it hears something, and the message that it then publishes."""

    before: str
    heard: str
    after: str
    message: str


def states(flow: Workflow) -> str:
    """A block of lines for each step. What is not listed changes nothing: it is only noted in the history."""
    return "\n".join(_block(step, transitions(flow, step)) for step in flow.steps)


def transitions(flow: Workflow, step: Step) -> list[Transition]:
    """Every transition of this step, from its beginning on, while the other steps are quiet."""
    flow = flow.paced({}, {each.name: min(each.attempts, ATTEMPTS) for each in flow.steps}, flow.slowest)
    step = flow.named[step.name]
    reached = [_quiet(flow, step, Saga.start(flow, {name: SAMPLE[name] for name in flow.given}))]
    keys, found = {_key(reached[0], step)}, dict[Transition, None]()
    for saga in reached:  # which grows meanwhile
        for heard, event, now, before in _stimuli(saga, step):
            decision = decide(flow, before, event, now)
            after = _quiet(flow, step, decision.saga)
            if _key(after, step) == _key(before, step):
                continue
            own = [each.type for each in decision.messages if type(each) in (step.request, step.undo)]
            was, now_is = _shown(flow, before, step), _shown(flow, after, step)
            if own or was != now_is:
                found[Transition(before=was, heard=heard, after=now_is, message="".join(own))] = None
            if _key(after, step) not in keys:
                keys.add(_key(after, step))
                reached.append(after)
    return list(found)


def _quiet(flow: Workflow, step: Step, saga: Saga) -> Saga:
    """The same for this step; those that wait for it have not begun, and all others are done."""
    waiting, facts = {step.name}, dict(saga.facts)
    done = Progress(StepStatus.DONE, 1, MORNING, MORNING)
    steps = {step.name: saga.steps[step.name]}
    for each in flow.steps:
        if each is not step and waiting & set(each.after):
            waiting.add(each.name)
            steps[each.name] = Progress()
        elif each is not step:
            steps[each.name] = done
            facts |= {name: SAMPLE[name] for name in _fields(each.success)}
    return changed(saga, steps={each.name: steps[each.name] for each in flow.steps}, facts=facts)


def _stimuli(saga: Saga, step: Step) -> Iterator[tuple[str, Heard, datetime, Saga]]:
    """What the step may hear, by the words for it: the event, when, and the saga that hears it."""
    was = saga.steps[step.name]
    if was.status is StepStatus.WAITING:
        yield "its turn", Tick(), MORNING, saga
        if step.when:
            yield f"its turn, not {step.when}", Tick(), MORNING, changed(saga, facts={**saga.facts, step.when: False})
        return
    for kind in (step.success, step.failure, step.undone, step.undo_refused):
        if kind:
            yield kind.type, _said(kind, saga), MORNING, saga
    if was.deadline:
        yield "silence, attempts spent" if was.attempts >= step.attempts else "silence", Tick(), was.deadline, saga
    yield "the order turns back", CancellationRequested(), MORNING, saga
    for verb, order in (("retries", RetryRequested), ("reverses", ReversalRequested), ("settles", SettlementRequested)):
        yield f"an operator {verb} it", order(step=step.name), MORNING, saga


def _said(kind: type[Heard], saga: Saga) -> Heard:
    """An answer that agrees with what was asked and answered before."""
    taken = SAMPLE["amount"] if "captured" in saga.facts else 0
    held = SAMPLE["amount"] - taken
    values = {**SAMPLE, "voided": held, "refunded": taken, "held": held, "kept": taken}
    return kind(**{name: values[name] for name in _fields(kind)})


def _fields(kind: type[Heard]) -> tuple[str, ...]:
    return kind.__struct_fields__ if issubclass(kind, Event) else ()


def _key(saga: Saga, step: Step) -> Any:
    """What tells two states of the step apart."""
    was = saga.steps[step.name]
    return was.status, min(was.attempts, step.attempts + 1), saga.backward, saga.problem(step) is not None


def _shown(flow: Workflow, saga: Saga, step: Step) -> str:
    return f"{saga.steps[step.name].status}{', parked' if saga.needs_attention(flow) else ''}"


def _block(step: Step, found: list[Transition]) -> str:
    rows = [(each.before, each.heard, each.after, each.message) for each in found]
    wide = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"  {a:{wide[0]}}  {b:{wide[1]}}  → {c:{wide[2]}}  {message}".rstrip() for a, b, c, message in rows]
    return "\n".join([f"{step.name}: {step.kind}", *lines, ""])
