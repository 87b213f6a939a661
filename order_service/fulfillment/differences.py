"""What a participant holds, beside what its order believes: each difference by its name, and what heals it.

Pure. `RULES` is the table: what the order believes of a part of its workflow, how far the participant is with it, what
that means, and what is to be done. What is not in the table agrees, or an answer to come makes it agree.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Any

from order_service.fulfillment.parts import Part, Stage
from order_service.fulfillment.saga import Facts, Kind, Progress, Saga, Step, StepStatus, Workflow
from order_service.fulfillment.workflow import amounts
from shared.bounds import words
from shared.values import composable


class Belief(StrEnum):
    """What the order believes of a part."""

    UNASKED = auto()
    ASKED = auto()
    DONE = auto()
    FINISH_ASKED = auto()
    FINISHED = auto()
    REFUSED = auto()
    UNDO_ASKED = auto()
    UNDONE = auto()
    NEVER_ASKED = auto()  # and it turned back since


class Healing(StrEnum):
    """What is to be done about a difference, all by moves that the workflow has anyway."""

    ASK = auto()  # ask again for what is asked for
    REBUILD = auto()  # ask once more for what was done: the participant does it again under the same keys
    UNDO = auto()  # the order is dead: undo it
    TURN_BACK = auto()  # the order can never be fulfilled: undo all of it
    PERSON = auto()  # nothing can be undone or done: the order needs attention


class Meaning(StrEnum):
    """Why they differ, as far as one can tell."""

    REQUEST_LOST = auto()
    ANSWER_LOST = auto()
    UNDO_LOST = auto()
    WORK_FORGOTTEN = auto()
    UNDO_FORGOTTEN = auto()
    HELD_FOR_A_DEAD_ORDER = auto()
    UNDONE_MEANWHILE = auto()
    REFUSED_MEANWHILE = auto()
    CANNOT_BE_UNDONE = auto()
    CANNOT_BE_REBUILT = auto()
    TOLD_OTHERWISE = auto()
    AGREED_MEANWHILE = auto()


ASK, REBUILD, UNDO, TURN_BACK, PERSON = Healing
Rule = tuple[Meaning, Healing]
FORGOTTEN = Meaning.WORK_FORGOTTEN, REBUILD
REFUSED = Meaning.REFUSED_MEANWHILE, PERSON
DEAD_END = Meaning.UNDONE_MEANWHILE, TURN_BACK
ANSWERED = Meaning.ANSWER_LOST, ASK
AHEAD = Meaning.AGREED_MEANWHILE, PERSON
LEFT_OVER: Mapping[Stage, Rule] = dict.fromkeys(
    (Stage.WORKING, Stage.HELD, Stage.FINISHING, Stage.FINISHED), (Meaning.HELD_FOR_A_DEAD_ORDER, UNDO)
)
RULES: Mapping[Belief, Mapping[Stage, Rule]] = {
    Belief.UNASKED: {},  # the order will come to it, and be told how far it is
    Belief.ASKED: {
        Stage.NOTHING: (Meaning.REQUEST_LOST, ASK),
        Stage.HELD: ANSWERED,
        Stage.FINISHING: ANSWERED,
        Stage.FINISHED: ANSWERED,
        Stage.REFUSED: ANSWERED,
        Stage.UNDONE: DEAD_END,
    },
    Belief.DONE: {Stage.NOTHING: FORGOTTEN, Stage.REFUSED: REFUSED, Stage.UNDONE: DEAD_END},
    Belief.FINISH_ASKED: {
        Stage.NOTHING: FORGOTTEN,
        Stage.HELD: (Meaning.REQUEST_LOST, ASK),
        Stage.FINISHED: ANSWERED,
        Stage.REFUSED: REFUSED,
        Stage.UNDONE: DEAD_END,
    },
    Belief.FINISHED: {
        Stage.NOTHING: FORGOTTEN,
        Stage.HELD: FORGOTTEN,
        Stage.REFUSED: REFUSED,
        Stage.UNDONE: DEAD_END,
    },
    Belief.REFUSED: {Stage.NOTHING: (Meaning.UNDO_FORGOTTEN, UNDO), **LEFT_OVER},
    Belief.NEVER_ASKED: LEFT_OVER,
    Belief.UNDO_ASKED: {
        **dict.fromkeys(Stage, (Meaning.UNDO_LOST, ASK)),
        Stage.UNDONE: ANSWERED,
    },
    Belief.UNDONE: {Stage.NOTHING: (Meaning.UNDO_FORGOTTEN, UNDO), **LEFT_OVER},
}


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One difference, and the step by which it is healed; `detail` says it in words."""

    service: str
    step: str
    meaning: Meaning
    healing: Healing
    detail: str


def difference(flow: Workflow, saga: Saga, part: Part, status: str, document: Facts) -> Difference | None:
    """What differs between the order and this participant, whose API says `status` and the rest of the `document`.

    None when they agree, when a person has settled it, or has been called for it already. The order must have been read
    before the participant was asked, and have stood still for a while: an answer on its way is no difference.
    """
    if not {part.first, part.second} <= saga.steps.keys():  # another version of the workflow
        return None
    stage, belief = part.stages.get(status), believed(saga, part)
    progress = [saga.steps[part.first], saga.steps[part.second]]
    if stage is None or any(each.problem and each.problem.settled for each in progress):
        return None
    rule = ruled(saga, part, belief, stage)
    if rule is None:
        wrong = told_otherwise(saga, part, belief, stage, document)
        rule = (Meaning.TOLD_OTHERWISE, PERSON) if wrong else None
    else:
        wrong = f"{part.service} says {status}, to the order it is {belief.replace('_', ' ')}"
    step = flow.named[step_of(part, belief, stage, rule)]
    if rule is None and (asked := ahead_of(flow, saga, belief, stage)):
        step, rule, wrong = asked, AHEAD, f"{part.service} says {status}, and {asked.name} is not given yet"
    if rule is None:
        return None
    rule = possible(flow, saga, part, step, stage, rule)
    detail = words(f"{rule[0].replace('_', ' ')}: {wrong}")
    was = saga.steps[step.name]
    if not open_to(step, was, rule, detail):
        return None
    return Difference(service=part.service, step=step.name, meaning=rule[0], healing=rule[1], detail=detail)


def believed(saga: Saga, part: Part) -> Belief:
    """What the order believes of this part."""
    first, second = saga.steps[part.first].status, saga.steps[part.second].status
    match first, second:
        case StepStatus.WAITING | StepStatus.SKIPPED | StepStatus.WITHDRAWN, _:
            return Belief.NEVER_ASKED if saga.backward else Belief.UNASKED
        case StepStatus.DONE, StepStatus.DONE:
            return Belief.FINISHED
        case StepStatus.DONE, StepStatus.REQUESTED:
            return Belief.FINISH_ASKED
    return {
        StepStatus.REQUESTED: Belief.ASKED,
        StepStatus.FAILED: Belief.REFUSED,
        StepStatus.COMPENSATING: Belief.UNDO_ASKED,
        StepStatus.COMPENSATED: Belief.UNDONE,
    }.get(first, Belief.DONE)


def ruled(saga: Saga, part: Part, belief: Belief, stage: Stage) -> Rule | None:
    """The table's row; but before anything is undone of which the order knows more than the participant, that is built
    again: else money that was refunded once would be voided as well."""
    rule = RULES[belief].get(stage)
    if rule and belief in (Belief.UNDO_ASKED, Belief.UNDONE):
        held = amounts(saga.facts) if part.first == "payment" else {}
        behind = (stage is Stage.NOTHING and (held.get("authorized") or knows_parcel(saga, part))) or (
            stage is Stage.HELD and held.get("captured")
        )
        return FORGOTTEN if behind else rule
    return rule


def knows_parcel(saga: Saga, part: Part) -> bool:
    return part.first == "shipping" and "tracking_number" in saga.facts


def step_of(part: Part, belief: Belief, stage: Stage, rule: Rule | None) -> str:
    """The step that is to be asked for: what comes second is asked for when the first is there."""
    finishing = belief in (Belief.FINISH_ASKED, Belief.FINISHED) and stage in (Stage.HELD, Stage.FINISHED)
    taken = rule is FORGOTTEN and stage is Stage.HELD
    return part.second if finishing or taken else part.first


def ahead_of(flow: Workflow, saga: Saga, belief: Belief, stage: Stage) -> Step | None:
    """The step that still waits for people, although a participant has done what comes after they have agreed."""
    done = belief is Belief.UNASKED and stage in (Stage.HELD, Stage.FINISHING, Stage.FINISHED)
    asked = (each for each in flow.steps if each.request is None)
    return next((each for each in asked if done and saga.steps[each.name].status is StepStatus.REQUESTED), None)


def possible(flow: Workflow, saga: Saga, part: Part, step: Step, stage: Stage, rule: Rule) -> Rule:
    """What of the rule can be done for this order; else a person is called."""
    meaning, healing = rule
    undoes = healing is UNDO or meaning is Meaning.UNDO_LOST
    if undoes and stage in part.lasting:
        return Meaning.CANNOT_BE_UNDONE, PERSON
    if healing is REBUILD and not askable(step, saga.facts):
        return Meaning.CANNOT_BE_REBUILT, PERSON
    if healing is TURN_BACK and saga.steps[flow.pivot.name].status is StepStatus.DONE:
        return meaning, PERSON
    return rule


def askable(step: Step, facts: Facts) -> bool:
    """Whether what is known of the order is enough to ask for this step: tokens and addresses are forgotten."""
    return step.request is not None and composable(step.request, facts)


def open_to(step: Step, was: Progress, rule: Rule, detail: str) -> bool:
    """Whether anything is to be done yet: nobody is called twice, and what a person was called for, or what is about to
    be given up for silence, is left alone."""
    meaning, healing = rule
    if healing is PERSON:
        return was.problem is None or was.problem.words != detail
    if healing is ASK and was.deadline is None:
        return False
    spent = step.kind is Kind.COMPENSATABLE and was.status is StepStatus.REQUESTED and was.attempts >= step.attempts
    return not (spent and meaning is Meaning.REQUEST_LOST)


def told_otherwise(saga: Saga, part: Part, belief: Belief, stage: Stage, document: Mapping[str, Any]) -> str | None:
    """Where both are as far, and what was told of money and parcel is not what it was."""
    as_far = {Belief.DONE: Stage.HELD, Belief.FINISHED: Stage.FINISHED, Belief.UNDONE: Stage.UNDONE}
    if as_far.get(belief) is not stage:
        return None
    return "; ".join(_other(saga, part, belief, document)) or None


def _other(saga: Saga, part: Part, belief: Belief, document: Mapping[str, Any]) -> Iterator[str]:
    told: Mapping[str, Any] = {}
    if part.first == "payment":
        told = amounts(saga.facts)
    elif part.first == "shipping" and belief is not Belief.UNDONE:
        told = {name: saga.facts.get(name) for name in ("carrier", "tracking_number")}
    for name, value in told.items():
        if document.get(name) != value:
            yield f"{name} is {value} to the order, but {part.service} says {document.get(name)}"
