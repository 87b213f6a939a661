"""The workflow is checked like a circuit: nothing dangles or loops, and nothing is asked that nobody can supply."""

from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest

from order_service.fulfillment.saga import Kind, OrderStatus, Workflow
from order_service.fulfillment.workflow import FULFILLMENT, WORKFLOWS
from shared.contracts import Event, OrderEvent
from tests.unit.order.scenario import FACTS, PREPAID

flows = pytest.mark.parametrize("flow", [*WORKFLOWS.values(), PREPAID], ids=lambda flow: f"{flow.name}-{flow.version}")


def upstream(flow: Workflow, name: str) -> set[str]:
    """All steps that are settled by the time this one is asked."""
    return {earlier for direct in flow.named[name].after for earlier in {direct, *upstream(flow, direct)}}


def fields(kind: type) -> set[str]:
    return set(getattr(kind, "__struct_fields__", ())) - {"order_id"}


def test_each_version_is_filed_under_its_number() -> None:
    """A saga finds the workflow it began with."""
    assert {number: flow.version for number, flow in WORKFLOWS.items()} == {number: number for number in WORKFLOWS}


@flows
def test_after_points_backwards(flow: Workflow) -> None:
    """Each step waits only for steps that are listed before it, and names are unique."""
    names = [step.name for step in flow.steps]
    assert len(set(names)) == len(names)
    for position, step in enumerate(flow.steps):
        assert set(step.after) <= set(names[:position]), step.name


@flows
def test_there_is_one_pivot_and_it_parts_the_steps(flow: Workflow) -> None:
    """Every compensatable step is settled before the one pivot is asked, and every retriable step waits for it."""
    assert [step.name for step in flow.steps if step.kind is Kind.PIVOT] == [flow.pivot.name]
    for step in flow.steps:
        assert (step.kind is Kind.COMPENSATABLE) == (step.name in upstream(flow, flow.pivot.name)), step.name
        assert (step.kind is Kind.RETRIABLE) == (flow.pivot.name in upstream(flow, step.name)), step.name


@flows
def test_what_is_sent_can_be_undone_and_what_must_succeed_cannot_refuse(flow: Workflow) -> None:
    """A compensatable step has an undo and its fact, unless it asks people and sends nothing; a retriable step has
    neither undo nor refusal; only an undo can be refused for good."""
    for step in flow.steps:
        assert (step.undo is None) == (step.undone is None), step.name
        assert step.undo is not None or step.undo_refused is None, step.name
        assert (step.undo is not None) == (step.kind is Kind.COMPENSATABLE and step.request is not None), step.name
        assert (step.failure is None) == (step.kind is Kind.RETRIABLE), step.name
        assert step.request is not None or step.kind is Kind.COMPENSATABLE, step.name


@flows
def test_no_event_means_two_things(flow: Workflow) -> None:
    """Each fact is about one step and says one thing; each request is sent by one step."""
    answers = [(step.success, step.failure, step.undone, step.undo_refused) for step in flow.steps]
    heard = [kind for kinds in answers for kind in kinds if kind]
    sent = [kind for step in flow.steps for kind in (step.request, step.undo) if kind]
    assert len(set(heard + sent)) == len(heard + sent)
    assert len({kind.type for kind in heard + sent}) == len(heard + sent)


@flows
def test_requests_are_ours_and_facts_are_the_participants(flow: Workflow) -> None:
    """What is sent is published by the order service, what is heard by somebody else."""
    for step in flow.steps:
        assert all(issubclass(kind, OrderEvent) for kind in (step.request, step.undo) if kind)
    assert not [kind for kind in flow.hears if issubclass(kind, OrderEvent)]


@flows
def test_every_request_can_be_filled_in(flow: Workflow) -> None:
    """Each field of a request is given with the order or told by the success of a step before it; each undo by its
    step's own request alone, because it may have to be sent before any answer."""
    given = set(flow.given)
    assert given == set(FACTS), "the scenarios place orders as the workflow wants them"
    for step in flow.steps:
        told = {field for name in upstream(flow, step.name) for field in fields(flow.named[name].success)}
        assert step.request is None or fields(step.request) <= given | told, step.name
        assert step.undo is None or fields(step.undo) <= given, step.name
        assert step.when is None or step.when in given, step.name


@flows
def test_no_fact_hides_another(flow: Workflow) -> None:
    """What is heard first stands, so no fact tells a field that the order gave; two kinds tell a field of one name only
    where both must say the same: of a parcel."""
    kinds = [kind for step in flow.steps for kind in (step.success, step.undone, step.undo_refused) if kind]
    told = Counter(field for kind in kinds for field in fields(kind) - {"detail"})
    assert {field for field, times in told.items() if times > 1} == {"carrier", "tracking_number"}
    assert not set(told) & set(flow.given)


@flows
def test_skipping_leaves_no_hole(flow: Workflow) -> None:
    """A step that may be skipped tells nothing that a later request needs."""
    needed = {field for step in flow.steps if step.request for field in fields(step.request)}
    for step in flow.steps:
        assert step.when is None or not fields(step.success) & needed, step.name


@flows
def test_milestones_come_in_order_and_leave_nothing_out(flow: Workflow) -> None:
    """The furthest milestone is `fulfilled` and implies all steps; each implies those before it; people are asked
    before the first, so that a status never moves backwards."""
    statuses = [status for status, _ in flow.milestones]
    assert statuses == sorted(statuses, key=[*OrderStatus].index, reverse=True)
    reached = [set(names).union(*(upstream(flow, name) for name in names)) for _, names in flow.milestones]
    assert statuses[0] is OrderStatus.FULFILLED
    assert reached[0] == set(flow.named)
    assert all(nearer < further for further, nearer in pairwise(reached))
    assert {step.name for step in flow.steps if step.request is None} <= reached[-1]


def test_a_workflow_hears_what_is_published_about_it() -> None:
    """The facts to bind the queue to are all those of the published language, and nothing that people say."""
    published = {kind for group in Event.__subclasses__() if group is not OrderEvent for kind in group.__subclasses__()}
    assert {kind for flow in WORKFLOWS.values() for kind in flow.hears} == published


def test_patience_is_configuration() -> None:
    """Timeouts, attempts and the slowest pace are replaced by name, and the rest stays as declared."""
    brisk = FULFILLMENT.paced({"payment": timedelta(seconds=1)}, {"issue": 2}, timedelta(seconds=4))
    assert (brisk.named["payment"].timeout, brisk.named["payment"].attempts) == (timedelta(seconds=1), 3)
    assert (brisk.named["issue"].timeout, brisk.named["issue"].attempts) == (timedelta(seconds=30), 2)
    assert brisk.slowest == timedelta(seconds=4)
    assert FULFILLMENT.named["payment"].timeout == timedelta(seconds=30)


@pytest.mark.parametrize(
    ("timeouts", "attempts", "complaint"),
    [
        ({"gift": timedelta(1)}, {}, "no step gift"),
        ({}, {"gift": 1}, "no step gift"),
        ({"payment": timedelta(0)}, {}, "longer than nothing"),
        ({}, {"payment": 0}, "at least one attempt"),
    ],
)
def test_impossible_patience_is_refused(timeouts: dict, attempts: dict, complaint: str) -> None:
    """A step that is not there, no time at all and no attempt at all are refused with a reason."""
    with pytest.raises(ValueError, match=complaint):
        FULFILLMENT.paced(timeouts, attempts, FULFILLMENT.slowest)
