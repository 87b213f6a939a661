"""What holds of `decide` for any story at all, found by trying to break it."""

from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from order_service.fulfillment.decide import ACTED, decide
from order_service.fulfillment.inputs import DeadlineMoved, RetryRequested, ReversalRequested, SettlementRequested, Tick
from order_service.fulfillment.saga import Heard, Saga, Workflow
from order_service.fulfillment.workflow import FULFILLMENT
from shared.contracts import Event, PaymentReversed, StockRequested
from tests.unit.order import scenario as told
from tests.unit.order.scenario import FACTS, NOON, PREPAID

names = st.sampled_from([*FULFILLMENT.named, "gift-wrapping"])
moments = st.integers(-3600, 3 * 86400).map(lambda seconds: NOON + timedelta(seconds=seconds))
events: st.SearchStrategy[Heard] = st.one_of(
    st.sampled_from(told.FACTS_HEARD),
    st.sampled_from([told.placed, told.tick, told.cancelled, told.granted, told.refused]),
    st.just(PaymentReversed(order_id=told.ID, voided=0, refunded=0)),
    st.just(StockRequested(order_id=told.ID, lines=())),  # an event, but none that this service hears
    names.map(lambda name: ReversalRequested(step=name)),
    names.map(lambda name: RetryRequested(step=name)),
    names.map(lambda name: SettlementRequested(step=name)),
    st.builds(DeadlineMoved, step=names, deadline=st.none() | moments),
)
stories = st.lists(st.tuples(events, st.sampled_from([0, 0, 1, 30, 60, 900, 200_000])), max_size=25)
flows = st.sampled_from([FULFILLMENT, PREPAID])


def live(flow: Workflow, story: list[tuple[Heard, int]], needs_approval: bool) -> tuple[Saga, datetime]:
    saga, now = Saga.start(flow, FACTS | {"needs_approval": needs_approval}), NOON
    for event, pause in [(told.placed, 0), *story]:
        now += timedelta(seconds=pause)
        saga = decide(flow, saga, event, now).saga
    return saga, now


@settings(deadline=None, max_examples=300)
@given(flows, stories, st.booleans(), events)
def test_decide_is_total(flow: Workflow, story: list[tuple[Heard, int]], needs_approval: bool, event: Heard) -> None:
    """Any event in any state that a story leads to has an answer, which says what was done about it."""
    saga, now = live(flow, story, needs_approval)
    decision = decide(flow, saga, event, now)
    assert decision == decide(flow, saga, event, now), "the same again, for it is pure"
    assert all(isinstance(message, Event) and message.order_id == told.ID for message in decision.messages)
    for entry in decision.history:
        assert (entry.event, entry.from_status) == (event.type, saga.status(flow))
        assert entry.to_status == decision.saga.status(flow)
        assert entry.outcome == ACTED or entry.outcome.startswith("noted: ")
        assert len(decision.messages) <= len(entry.did)
    assert len(decision.history) == 1 or (isinstance(event, Tick) and decision.saga is saga and not decision.messages)


@settings(deadline=None, max_examples=300)
@given(flows, stories, st.booleans(), events)
def test_decide_is_deaf_to_repeats(
    flow: Workflow, story: list[tuple[Heard, int]], needs_approval: bool, event: Heard
) -> None:
    """Hearing the same event again right away changes nothing but the notes; only an operator's word counts twice."""
    saga, now = live(flow, story, needs_approval)
    once = decide(flow, saga, event, now).saga
    twice = decide(flow, once, event, now)
    if not isinstance(event, RetryRequested | DeadlineMoved):
        assert twice.saga == once
        assert twice.messages == ()


@settings(deadline=None, max_examples=200)
@given(flows, stories, st.booleans(), events)
def test_nothing_is_owed_after_a_decision(
    flow: Workflow, story: list[tuple[Heard, int]], needs_approval: bool, event: Heard
) -> None:
    """Every move that is owed is made at once: a tick at the same moment finds nothing to do."""
    saga, now = live(flow, story, needs_approval)
    after = decide(flow, saga, event, now).saga
    assert decide(flow, after, told.tick, now).history == ()
    assert after.deadline is None or after.deadline > now


@settings(deadline=None, max_examples=200)
@given(flows, stories, st.booleans())
def test_what_the_order_gave_is_never_rewritten(
    flow: Workflow, story: list[tuple[Heard, int]], needs_approval: bool
) -> None:
    """Events add facts; none changes what the order began with, or what an earlier one told."""
    saga, now = live(flow, story, needs_approval)
    assert saga.facts == saga.facts | FACTS | {"needs_approval": needs_approval}
    for event in told.FACTS_HEARD:
        assert decide(flow, saga, event, now).saga.facts.items() >= saga.facts.items()
