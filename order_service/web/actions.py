"""What people can do about an order now, and why not: each is put to the saga's own rules, as a question."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from order_service.fulfillment.decide import decide
from order_service.fulfillment.inputs import (
    ApprovalGranted,
    ApprovalRefused,
    CancellationRequested,
    DeadlineMoved,
    Input,
    RetryRequested,
    ReversalRequested,
    SettlementRequested,
)
from order_service.fulfillment.saga import Workflow
from order_service.view import Order
from shared.api_keys import Principal

COMMANDS = {  # of `fulfillment`
    "cancel": "cancel {id}",
    "approve": "approve {id}",
    "refuse": "approve {id} --refuse",
    "retry": "retry {id} {step}",
    "reverse": "reverse {id}",
    "settle": "settle {id} {step} --note WHY",
    "deadline": "deadline {id} {step} --in 2h",
}
FOR_TROUBLE = ("retry", "settle", "deadline")  # possible while a step is asked, useful when it needs a person


@dataclass(frozen=True, kw_only=True)
class Action:
    """A button: `name` is what is called, `why` says why it cannot be used now."""

    name: str
    label: str
    meaning: str
    step: str | None = None
    why: str = ""
    danger: bool = False
    needs_note: bool = False

    @property
    def allowed(self) -> bool:
        return not self.why

    def command(self, order_id: str) -> str:
        """What does the same on a command line."""
        return f"fulfillment {COMMANDS[self.name].format(id=order_id, step=self.step)}"


def order_actions(flow: Workflow, record: Order, who: Principal, now: datetime) -> list[Action]:
    """What can be done about the order as a whole."""

    def asked(event: Input, action: Action) -> Action:
        return _judged(flow, record, event, now, action)

    by = CancellationRequested(by="operator" if who.is_operator else "customer")
    cancel = Action(name="cancel", label="Cancel the order", meaning="Undo what was done so far.", danger=True)
    found = [asked(by, cancel)]
    if not who.is_operator:
        return found
    approve = Action(name="approve", label="Approve", meaning="Let it go on.")
    refuse = Action(name="refuse", label="Refuse", meaning="Undo what was done so far.", danger=True)
    reverse = Action(
        name="reverse",
        label=f"Withdraw the {flow.pivot.name}",
        meaning="Turn back while its answer is in doubt.",
        step=flow.pivot.name,
        danger=True,
    )
    return [
        asked(ApprovalGranted(), approve),
        asked(ApprovalRefused(), refuse),
        *found,
        asked(ReversalRequested(step=flow.pivot.name), reverse),
    ]


def step_actions(flow: Workflow, record: Order, now: datetime) -> dict[str, list[Action]]:
    """What operators can do about each step, by name."""
    return {name: list(_of_step(flow, record, name, now)) for name in flow.named}


def useful(flow: Workflow, record: Order, who: Principal, now: datetime) -> list[Action]:
    """What the caller can do now, and would: about the order, and about the steps that need a person."""
    found = order_actions(flow, record, who, now)
    if who.is_operator:
        found += [each for of_step in step_actions(flow, record, now).values() for each in of_step]
    troubled = {step.name for step in flow.steps if record.saga.problem(step)}
    return [each for each in found if each.allowed and (each.name not in FOR_TROUBLE or each.step in troubled)]


def _of_step(flow: Workflow, record: Order, name: str, now: datetime) -> Iterator[Action]:
    step = flow.named[name]
    if step.request is not None:
        retry = Action(name="retry", label="Ask now", meaning="Count the attempts anew.", step=name)
        yield _judged(flow, record, RetryRequested(step=name), now, retry)
    later = Action(name="deadline", label="Move the deadline", meaning="Wait until another time.", step=name)
    yield _judged(flow, record, DeadlineMoved(step=name, deadline=now), now, later)
    settle = Action(
        name="settle",
        label="Settle by hand",
        meaning="Somebody saw to it.",
        step=name,
        needs_note=True,
        danger=True,
    )
    yield _judged(flow, record, SettlementRequested(step=name), now, settle)


def _judged(flow: Workflow, record: Order, event: Input, now: datetime, action: Action) -> Action:
    decision = decide(flow, record.saga, event, now)
    if decision.acted:
        return action
    outcome = decision.history[0].outcome.removeprefix("noted: ").replace("_", " ")
    fields = {name: getattr(action, name) for name in action.__dataclass_fields__}
    return Action(**{**fields, "why": f"Not now: {outcome}."})
