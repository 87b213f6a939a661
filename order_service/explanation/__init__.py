"""Where an order stands and why, in plain words: what happened, who is waited for, what comes next, what can be done.

`explain` is a pure function of what is known; what could not be asked is said, and nothing is guessed in its place.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from order_service.explanation.known import Account, DeadLetter, Known, Possible
from order_service.explanation.views import ComingView, ExplanationView, PossibleView, WaitView
from order_service.fulfillment.describe import duration
from order_service.fulfillment.parts import NOTHING, PARTS, Stage
from order_service.fulfillment.saga import ASKED, Kind, OrderStatus, Progress, Reason, Step, StepStatus, Workflow
from order_service.fulfillment.workflow import amounts
from order_service.story import asking, listed, tell
from order_service.view import Order
from shared.currencies import money

__all__ = ["Account", "DeadLetter", "ExplanationView", "Known", "Possible", "explain"]

AT_ONCE = timedelta(seconds=5)  # what takes no longer than this is on its way, and nobody is to blame
LATE = timedelta(seconds=15)  # after a deadline without anything having happened: nobody keeps time

_GOALS = {
    "first": (Stage.HELD, Stage.REFUSED, Stage.FINISHING, Stage.FINISHED),
    "second": (Stage.FINISHED,),
    "undo": (Stage.UNDONE, Stage.REFUSED),
}

STANDING = {
    OrderStatus.PENDING: "The order is being prepared",
    OrderStatus.AWAITING_APPROVAL: "The order waits until a person approves it",
    OrderStatus.CONFIRMED: "The order is confirmed: the money is held and the goods are set aside",
    OrderStatus.PAID: "The order is paid, and can only go forward",
    OrderStatus.FULFILLED: "The order is fulfilled",
    OrderStatus.CANCELLING: "The order is being cancelled: what was done for it is undone",
    OrderStatus.CANCELLED: "The order is cancelled, and nothing is owed any more",
}
REASONS = {
    Reason.PAYMENT_DECLINED: "the payment was declined",
    Reason.OUT_OF_STOCK: "goods are out of stock",
    Reason.UNDELIVERABLE: "no carrier takes the parcel",
    Reason.APPROVAL_REFUSED: "a person refused it",
    Reason.APPROVAL_EXPIRED: "nobody approved it in time",
    Reason.CUSTOMER_REQUEST: "the customer asked for that",
    Reason.OPERATOR_REQUEST: "an operator asked for that",
    Reason.TIMED_OUT: "a service did not answer in time",
    Reason.CAPTURE_REFUSED: "the money could not be captured",
    Reason.PARTICIPANT_UNDONE: "a service has undone its part for good",
    Reason.UNKNOWN_ORDER: "nobody knows who placed it: it was found at the other services only",
}


def explain(known: Known) -> ExplanationView:
    """The order in plain words. Total: every state of every order has an explanation."""
    order = known.order
    return {
        "order_id": order.id,
        "at": known.now,
        "status": order.status,
        "summary": _summary(order),
        "story": [{"at": each.at, "text": each.text} for each in tell(known.flow, known.history)],
        "waits_for": [_wait(known, step, progress) for step, progress in _asked(known)],
        "next": list(_next(known)),
        "findings": list(_findings(known)),
        "possible": [*map(_shown, known.possible), *_letter_commands(known)],
        "not_asked": [f"{each.service}: {each.error}" for each in known.accounts if each.error],
    }


def _summary(order: Order) -> str:
    parts = [STANDING[order.status]]
    if order.reason:
        detail = f" (“{order.reason_detail}”)" if order.reason_detail else ""
        parts.append(f"It turned back because {REASONS[order.reason]}{detail}")
    moved = [f"{money(amount, order.currency)} {name}" for name, amount in amounts(order.saga.facts).items() if amount]
    parts.append(f"Money: {listed(moved)}" if moved else "No money was moved")
    if order.needs_attention:
        parts.append("A person must look at it")
    return ". ".join(parts) + "."


def _asked(known: Known) -> Iterator[tuple[Step, Progress]]:
    """The steps that wait for an answer."""
    for step in known.flow.steps:
        progress = known.order.saga.steps[step.name]
        if progress.status in ASKED:
            yield step, progress


def _wait(known: Known, step: Step, progress: Progress) -> WaitView:
    since = _since(known, step, progress)
    times = f" ({_times(step, progress)})" if step.request else ""
    seen = _seen(known, step, progress, since)
    return {"step": step.name, "who": _who(step), "since": since, "text": f"{_asking(step, progress)}{times}.{seen}"}


def _times(step: Step, progress: Progress) -> str:
    if progress.attempts > step.attempts:
        return f"{progress.attempts} times, and patience was for {step.attempts}"
    return f"{progress.attempts} of {step.attempts} times"


def _who(step: Step) -> str:
    return str(getattr(step.success, "producer", "an operator"))


def _asking(step: Step, progress: Progress) -> str:
    return asking(step.name, undoing=progress.status is StepStatus.COMPENSATING)


def _since(known: Known, step: Step, progress: Progress) -> datetime:
    """When it was first asked for what it is asked for now."""
    deed = f"{step.name} {progress.status}"
    began = [entry["at"] for entry in known.history if deed in entry["did"]]
    return began[-1] if began else progress.requested_at or known.order.updated_at


def _seen(known: Known, step: Step, progress: Progress, since: datetime) -> str:
    """What is known of the asking, from the outbox and from the service itself; it begins with a space."""
    undoing = progress.status is StepStatus.COMPENSATING
    request = step.undo if undoing else step.request
    young = known.now - since < AT_ONCE
    if request and request.type in known.unsent:
        away = "" if young else ": RabbitMQ is away, or no worker of the order service runs"
        return f" The message has not left yet{away}."
    said = next((each.saying.status for each in known.accounts if each.saying and each.service == _who(step)), None)
    if said is None or young:
        return f" It says {said}." if said and said != NOTHING else ""
    if said == NOTHING:
        return " It knows nothing of the order: its worker has not taken the message."
    if said in _answered(step, undoing):
        return f" It says {said}: its answer is on its way, or RabbitMQ or its worker is away."
    return f" It says {said}."


def _answered(step: Step, undoing: bool) -> frozenset[str]:
    """What a service says of itself when it has done, or refused, what the step asks."""
    goals = _GOALS["undo" if undoing else "second"]
    for part in PARTS:
        if step.name in (part.first, part.second):
            goals = _GOALS["first"] if step.name == part.first and not undoing else goals
            return frozenset(status for status, stage in part.stages.items() if stage in goals)
    return frozenset()


def _next(known: Known) -> Iterator[ComingView]:
    asked = sorted(_asked(known), key=lambda each: (each[1].deadline is None, each[1].deadline or known.now))
    for step, progress in asked:
        yield {"at": progress.deadline, "text": _at_deadline(known.flow, step, progress)}
    if known.order.status.final or not asked:
        return
    if known.order.saga.backward:
        yield {"at": None, "text": "When all that was done is undone, the order is cancelled."}
        return
    coming = [step.name for step in known.flow.steps if _is_to_come(known, step)]
    then = f"then {listed(coming)} follow{'s' * (len(coming) == 1)}, and " if coming else ""
    end = known.flow.milestones[0][0]
    yield {"at": None, "text": f"When there are good answers to all of that, {then}the order is {end}."}


def _is_to_come(known: Known, step: Step) -> bool:
    waiting = known.order.saga.steps[step.name].status is StepStatus.WAITING
    return waiting and (step.when is None or bool(known.order.saga.facts[step.when]))


def _at_deadline(flow: Workflow, step: Step, progress: Progress) -> str:
    """What happens when nobody has answered by then."""
    if progress.deadline is None and progress.problem:
        return f"Nothing more happens to {step.name} by itself: a person must see to it."
    if progress.deadline is None:
        return f"Nothing happens to {step.name} by itself: it waits without a deadline."
    who, undoing = _who(step), progress.status is StepStatus.COMPENSATING
    if not undoing and step.kind is Kind.COMPENSATABLE and progress.attempts >= step.attempts:
        return f"Unless {who} has answered by then, the order turns back."
    again = f"Unless {who} has answered by then, {_asking(step, progress)} again"
    if progress.attempts < step.attempts:
        return f"{again}, for the {_ordinal(progress.attempts + 1)} time of {step.attempts}."
    slowest = duration(max(flow.slowest, step.timeout))
    if progress.attempts == step.attempts:
        return f"{again}, and the order needs a person from then on; asking goes on, at least every {slowest}."
    return f"{again}; asking goes on, at least every {slowest}, until there is an answer."


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _findings(known: Known) -> Iterator[str]:
    for step in known.flow.steps:
        if problem := known.order.saga.problem(step):
            yield f"{step.name} needs a person: {problem}."
    for step, progress in _asked(known):
        if known.internals and progress.deadline and known.now - progress.deadline > LATE:
            yield f"{step.name}: its deadline has passed without a move: no worker of the order service runs."
    for account in known.accounts:
        for letter in account.letters:
            yield f"The {account.service} service could not work {letter.type}: {letter.reason}."
        for difference in account.saying.differences if account.saying else ():
            yield f"What is known differs: {difference.detail}."


def _letter_commands(known: Known) -> Iterator[PossibleView]:
    for account in known.accounts:
        for letter in account.letters:
            yield {
                "text": f"When its cause is mended: have {account.service} work {letter.type} again.",
                "command": f"fulfillment dead-letters replay {letter.message_id} --service {account.service}",
            }


def _shown(possible: Possible) -> PossibleView:
    return {"text": possible.text, "command": possible.command}
