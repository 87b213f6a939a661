"""The words of a saga: workflow, step, progress. Nothing here decides anything."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum, auto
from functools import cached_property
from typing import Any, Self

from order_service.fulfillment.inputs import Input
from shared.bounds import words
from shared.contracts import Event
from shared.values import Value, changed


class Kind(StrEnum):
    """Before the pivot everything can be undone, after it everything can be done."""

    COMPENSATABLE = auto()
    PIVOT = auto()
    RETRIABLE = auto()


class StepStatus(StrEnum):
    WAITING = auto()
    REQUESTED = auto()
    DONE = auto()
    SKIPPED = auto()
    FAILED = auto()
    COMPENSATING = auto()
    COMPENSATED = auto()
    WITHDRAWN = auto()


class OrderStatus(StrEnum):
    """What the customer sees. An order only ever moves to a status further down this list."""

    PENDING = auto()
    AWAITING_APPROVAL = auto()
    CONFIRMED = auto()
    PAID = auto()
    FULFILLED = auto()
    CANCELLING = auto()
    CANCELLED = auto()

    @property
    def final(self) -> bool:
        return self in (OrderStatus.FULFILLED, OrderStatus.CANCELLED)


class Reason(StrEnum):
    """Why an order turned back; the first heard wins."""

    PAYMENT_DECLINED = auto()
    OUT_OF_STOCK = auto()
    UNDELIVERABLE = auto()
    APPROVAL_REFUSED = auto()
    APPROVAL_EXPIRED = auto()
    CUSTOMER_REQUEST = auto()
    OPERATOR_REQUEST = auto()
    TIMED_OUT = auto()
    CAPTURE_REFUSED = auto()
    PARTICIPANT_UNDONE = auto()  # somebody has undone for good what the order needs
    UNKNOWN_ORDER = auto()  # the order itself was lost


Heard = Event | Input
Facts = Mapping[str, Any]  # what is known of an order, as plain JSON values


@dataclass(frozen=True)
class Step:
    """One thing to be done: what is asked, what may be answered, how it is undone, and how patient we are.

    `agrees` says whether what was told, together with what was known, can be true.
    """

    name: str
    kind: Kind
    request: type[Event] | None  # None: asked of people, nothing is sent
    success: type[Heard]
    failure: type[Heard] | None = None
    refusal: Reason = Reason.TIMED_OUT  # why the order turns back on a failure
    silence: Reason = Reason.TIMED_OUT  # why it does when the attempts are spent
    undo: type[Event] | None = None
    undone: type[Event] | None = None
    undo_refused: type[Event] | None = None  # for good
    agrees: Callable[[Facts], bool] = lambda facts: True
    after: tuple[str, ...] = ()
    when: str | None = None  # the fact that makes the step needed
    timeout: timedelta = timedelta(seconds=30)
    attempts: int = 3


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """The steps, each after those it waits for, and what the customer is told as they settle."""

    name: str
    version: int
    given: tuple[str, ...]  # the facts that are known when an order is placed
    steps: tuple[Step, ...]
    milestones: tuple[tuple[OrderStatus, tuple[str, ...]], ...]  # the furthest first
    slowest: timedelta = timedelta(minutes=15)  # the longest pause between two askings

    def paced(self, timeouts: Mapping[str, timedelta], attempts: Mapping[str, int], slowest: timedelta) -> "Workflow":
        """The same workflow with other patience, by step name; raises ValueError for an unknown step or no patience."""
        if unknown := (timeouts.keys() | attempts.keys()) - self.named.keys():
            raise ValueError(f"workflow {self.name} has no step {', '.join(sorted(unknown))}")
        if min(timeouts.values(), default=slowest) <= timedelta(0) or min(attempts.values(), default=1) < 1:
            raise ValueError("a timeout is longer than nothing, and there is at least one attempt")
        steps = tuple(
            replace(s, timeout=timeouts.get(s.name, s.timeout), attempts=attempts.get(s.name, s.attempts))
            for s in self.steps
        )
        return replace(self, steps=steps, slowest=slowest)

    @cached_property
    def named(self) -> dict[str, Step]:
        return {step.name: step for step in self.steps}

    @cached_property
    def pivot(self) -> Step:
        return next(step for step in self.steps if step.kind is Kind.PIVOT)

    @cached_property
    def meaning(self) -> dict[type[Heard], tuple[Step, StepStatus]]:
        """Which step each fact is about, and the status that it reports."""
        told = [(s.success, s, StepStatus.DONE) for s in self.steps]
        told += [(s.failure, s, StepStatus.FAILED) for s in self.steps if s.failure]
        told += [(s.undone, s, StepStatus.COMPENSATED) for s in self.steps if s.undone]
        told += [(s.undo_refused, s, StepStatus.COMPENSATING) for s in self.steps if s.undo_refused]
        return {kind: (step, status) for kind, step, status in told}

    @cached_property
    def hears(self) -> frozenset[type[Event]]:
        """The facts of other services that this workflow understands: what to bind its queue to."""
        return frozenset(kind for kind in self.meaning if issubclass(kind, Event))


class Problem(Value, frozen=True, array_like=True):
    """Why a person must look at a step; the words are kept when an operator has settled it."""

    words: str
    settled: bool = False


class Progress(Value, frozen=True, array_like=True):
    """How far a step is; moments are UTC. It has a deadline while an answer is awaited, unless that was revoked, or the
    answer was a refusal for good."""

    status: StepStatus = StepStatus.WAITING
    attempts: int = 0
    requested_at: datetime | None = None
    settled_at: datetime | None = None
    deadline: datetime | None = None
    problem: Problem | None = None


WAITING, REQUESTED, DONE, SKIPPED, FAILED, COMPENSATING, COMPENSATED, WITHDRAWN = StepStatus
SETTLED = frozenset({DONE, SKIPPED})
ASKED = frozenset({REQUESTED, COMPENSATING})
ACTED = "acted"  # what came of an event that was not only noted


class Saga(Value, frozen=True):
    """One order under way: the facts known of it (plain JSON values), and how far each step is."""

    facts: Facts
    steps: Mapping[str, Progress]
    backward: bool = False
    reason: Reason | None = None
    reason_detail: str | None = None

    @classmethod
    def start(cls, flow: Workflow, facts: Facts) -> Self:
        return cls(facts, {step.name: Progress() for step in flow.steps})

    def put(self, step: Step, progress: Progress) -> "Saga":
        return changed(self, steps={**self.steps, step.name: progress})

    def learn(self, event: Heard) -> "Saga":
        """Keep what the event tells that was not known; what was heard first stands."""
        news = {name: value for name, value in told(event).items() if name not in self.facts}
        return changed(self, facts={**self.facts, **news}) if news else self

    def turn_back(self, reason: Reason, detail: str | None) -> "Saga":
        return self if self.backward else changed(self, backward=True, reason=reason, reason_detail=detail)

    def status(self, flow: Workflow) -> OrderStatus:
        if self.backward:
            return OrderStatus.CANCELLING if self.owing else OrderStatus.CANCELLED
        for status, names in flow.milestones:
            if all(map(self.settled, names)):
                return status
        if any(self.steps[s.name].status is REQUESTED for s in flow.steps if s.request is None):
            return OrderStatus.AWAITING_APPROVAL
        return OrderStatus.PENDING

    def settled(self, name: str) -> bool:
        """The step of this name is done or not needed: what comes after it may begin."""
        return self.steps[name].status in SETTLED

    @property
    def owing(self) -> bool:
        """Some step was asked and has not settled yet; a failed step that is undone after all settled once."""
        return any(p.settled_at is None for p in self.steps.values() if p.status in ASKED)

    def problem(self, step: Step) -> str | None:
        """Why this step needs a person: it is parked, until any answer that agrees settles it. None when it is not."""
        progress = self.steps[step.name]
        if progress.problem and not progress.problem.settled:
            return progress.problem.words
        silent = progress.deadline is not None and progress.attempts > step.attempts
        return f"no answer to {step.attempts} askings" if silent else None

    def needs_attention(self, flow: Workflow) -> bool:
        return any(map(self.problem, flow.steps))

    @property
    def deadline(self) -> datetime | None:
        """The earliest of the steps' deadlines: when to say Tick at the latest."""
        deadlines = [p.deadline for p in self.steps.values() if p.deadline]
        return min(deadlines) if deadlines else None


def told(event: Heard) -> dict[str, Any]:
    """What a fact tells of its order, as plain values, but for its words to people."""
    fields = ((name, getattr(event, name)) for name in getattr(event, "__struct_fields__", ()) if name != "detail")
    return {name: value for name, value in fields if value is not None}


def contradiction(saga: Saga, step: Step, event: Heard) -> Problem | None:
    """What of this fact cannot be true if what was asked and what was heard before is true; None when all agrees."""
    said = told(event)
    again = [
        f"{name} {value}, not {saga.facts[name]}"
        for name, value in said.items()
        if saga.facts.get(name, value) != value
    ]
    if not again and step.agrees({**saga.facts, **said}):
        return None
    wrong = again or [f"{name} {value}" for name, value in said.items() if name not in saga.facts]
    return Problem(words(f"contradicts what is known: {', '.join(wrong)}"))
