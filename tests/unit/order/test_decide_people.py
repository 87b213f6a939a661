"""Promises 4 to 6 of the saga, on what people may do and what is written down: each test proves its sentence."""

import pytest

from order_service.fulfillment.decide import ACTED
from order_service.fulfillment.inputs import (
    CancellationRequested,
    DeadlineMoved,
    RetryRequested,
    ReversalRequested,
    SettlementRequested,
)
from order_service.fulfillment.saga import OrderStatus
from order_service.fulfillment.workflow import FULFILLMENT
from shared.contracts import (
    CaptureRequested,
    PaymentReversalRequested,
    ShipmentCancellationRequested,
    ShipmentRequested,
    StockReleaseRequested,
    StockRequested,
)
from tests.unit.order.scenario import (
    FACTS_HEARD,
    NOON,
    TO_CAPTURE,
    TO_THE_END,
    Scenario,
    Story,
    authorized,
    cancelled,
    captured,
    declined,
    given,
    granted,
    issued,
    placed,
    released,
    reserved,
    reversed_by_operator,
    tick,
    voided,
    wait,
)

# Promise 4: people against the pivot


def test_customers_may_cancel_until_capture_is_asked() -> None:
    """Customers may cancel until capture is asked; a cancellation that loses the race changes nothing."""
    assert given(placed, authorized, reserved).when(cancelled).decisions[0].acted
    for story in (TO_CAPTURE, (*TO_CAPTURE, captured), TO_THE_END):
        order = given(*story)
        assert order.when(cancelled).then(status=order.status).saga == order.saga
    given(*TO_CAPTURE).when(cancelled).then(noted="too late, capture is requested")


def test_a_second_cancellation_is_only_noted() -> None:
    """The first reason heard wins; cancelling again changes nothing."""
    order = given(placed, declined).when(cancelled).then(noted="already turned back", reason="payment_declined")
    assert order.saga.reason_detail == "insufficient funds"


def test_an_operator_cancels_in_their_own_name() -> None:
    """A cancellation says who asked for it."""
    order = given(placed).when(CancellationRequested(by="operator", note="looks like fraud"))
    assert (order.saga.reason, order.saga.reason_detail) == ("operator_request", "looks like fraud")


def test_operators_may_reverse_while_capture_is_asked_and_unanswered() -> None:
    """While capture is asked and unanswered an operator withdraws it, and the saga turns back."""
    order = given(*TO_CAPTURE).when(reversed_by_operator)
    order.then(
        *(PaymentReversalRequested, StockReleaseRequested, ShipmentCancellationRequested),
        **{"status": "cancelling", "reason": "operator_request", "capture": "withdrawn", "payment": "compensating"},
    )
    order.when(captured).then(noted="already withdrawn", status="cancelling")


@pytest.mark.parametrize("story", [(placed,), (*TO_CAPTURE, captured), TO_THE_END, (placed, cancelled)])
def test_a_reversal_is_refused_otherwise(story: tuple[Story, ...]) -> None:
    """Before capture is asked, and once its success is heard, a reversal changes nothing."""
    order = given(*story)
    assert order.when(reversed_by_operator).then(status=order.status).saga == order.saga


def test_only_the_pivot_can_be_reversed() -> None:
    """Other steps are undone by turning the order back, not one by one."""
    given(placed).when(ReversalRequested(step="payment")).then(noted="payment is requested")


def test_a_parked_retriable_step_may_be_settled_by_hand() -> None:
    """A parked retriable step that can never succeed may be settled by hand with a note; nothing else may."""
    by_hand = SettlementRequested(step="dispatch", note="driven there by hand")
    order = given(*TO_CAPTURE, captured, issued).when(by_hand).then(noted="dispatch is requested", status="paid")
    order = order.hears(*[wait(hours=1)] * FULFILLMENT.named["dispatch"].attempts)
    order = order.when(by_hand).then(status="fulfilled", dispatch="done")
    assert order.decisions[0].history[0].detail == "driven there by hand"
    parked = given(*TO_CAPTURE, *[wait(hours=1)] * FULFILLMENT.named["capture"].attempts)
    assert parked.saga.needs_attention(parked.flow)
    parked.when(SettlementRequested(step="capture", note="no")).then(noted="capture is requested")


@pytest.mark.parametrize(
    ("story", "step", "message"),
    [
        ((placed, authorized, wait(seconds=30)), "inventory", StockRequested),
        (TO_CAPTURE, "capture", CaptureRequested),
        ((placed, declined), "inventory", StockReleaseRequested),
    ],
)
def test_an_operator_asks_again(story: tuple[Story, ...], step: str, message: type) -> None:
    """A retry asks now and counts the attempts anew, whether the step is requested or compensating."""
    order = given(*story, wait(seconds=10)).when(RetryRequested(step=step)).then(message)
    assert order.saga.steps[step].attempts == 1
    assert order.saga.steps[step].deadline == order.now + FULFILLMENT.named[step].timeout
    assert order.decisions[0].acted


def test_a_retry_gives_a_silent_step_another_chance() -> None:
    """A step whose last attempt ran out this very moment is asked again, not given up."""
    order = given(placed, authorized, wait(seconds=30), wait(seconds=60))
    order = Scenario(order.flow, order.saga, order.now + wait(seconds=120)).when(RetryRequested(step="inventory"))
    order.then(StockRequested, status="pending", inventory="requested")


@pytest.mark.parametrize("step", ["shipping", "payment", "approval"])
def test_what_is_not_under_way_cannot_be_retried(step: str) -> None:
    """A step that waits, or is done, or was skipped, is not asked."""
    given(placed, authorized, needs_approval=True).when(RetryRequested(step=step)).then(status="pending")


def test_an_operator_moves_a_deadline() -> None:
    """The deadline of a step under way may be moved; that of people may be revoked, and they are then waited for."""
    later = NOON + wait(hours=6)
    order = given(placed).when(DeadlineMoved(step="payment", deadline=later)).then()
    assert order.saga.steps["payment"].deadline == later
    given(placed).when(DeadlineMoved(step="payment", deadline=None)).then(noted="payment is requested")
    given(placed).when(DeadlineMoved(step="shipping", deadline=later)).then(noted="shipping is waiting")
    order = given(placed, authorized, reserved, needs_approval=True)
    order = order.when(DeadlineMoved(step="approval", deadline=None), wait(days=365)).then(status="awaiting_approval")
    assert order.saga.deadline is None
    order.when(granted).then(ShipmentRequested, status="confirmed")


def test_a_deadline_moved_into_the_past_is_over() -> None:
    """Who moves a deadline to a moment that is gone has the silence end now."""
    order = given(placed, authorized, reserved, needs_approval=True)
    order = order.when(DeadlineMoved(step="approval", deadline=NOON))
    order.then(PaymentReversalRequested, StockReleaseRequested, reason="approval_expired")


def test_a_step_that_does_not_exist_is_noted() -> None:
    """An operator who names no step of this order's workflow changes nothing."""
    given(placed).when(RetryRequested(step="gift-wrapping")).then(noted="no such step")


# Promise 5: see test_workflow_versions.py, and test_exploration.py for the order of statuses


def test_two_statuses_are_final() -> None:
    """An order ends fulfilled or cancelled."""
    assert [status for status in OrderStatus if status.final] == ["fulfilled", "cancelled"]


# Promise 6: nothing is dropped in silence


def test_every_event_goes_to_the_history() -> None:
    """An event that is late, early or repeated goes to the history with what was done about it: one entry, always."""
    for story in ((), (placed,), TO_CAPTURE, TO_THE_END, (placed, cancelled), (placed, declined, released)):
        for event in FACTS_HEARD:
            (entry,) = given(*story).when(event).decisions[0].history
            assert entry.event == event.type
            assert entry.outcome == ACTED or entry.outcome.startswith("noted: ")


def test_a_tick_is_recorded_only_when_it_moved_something() -> None:
    """An idle tick leaves no trace; one that asks again says what it asked."""
    assert given(placed).when(tick).decisions[0].history == ()
    (entry,) = given(placed, authorized).when(wait(seconds=30)).decisions[0].history
    assert (entry.event, entry.did) == ("tick", ("inventory requested again, attempt 2 of 3",))


def test_an_entry_says_what_was_done() -> None:
    """The history reads like a story: what was heard, about which step, what it led to, and how the order stands."""
    (entry,) = given(placed, reserved).when(declined).decisions[0].history
    assert (entry.event, entry.step, entry.outcome) == ("payment.declined", "payment", "acted")
    assert (entry.detail, entry.did) == ("insufficient funds", ("inventory compensating",))
    assert (entry.from_status, entry.to_status) == ("pending", "cancelling")


def test_a_repeated_placing_is_only_noted() -> None:
    """An order is placed once."""
    given(placed).when(placed).then(noted="already placed")


def test_an_answer_to_what_was_never_asked_is_only_noted() -> None:
    """Success, refusal or undo of a step that waits, or was skipped, changes nothing."""
    given(placed).when(captured).then(noted="never asked", capture="waiting")
    given(*TO_CAPTURE).when(granted).then(noted="never asked", approval="skipped")
    given(placed, authorized).when(declined).then(noted="already done", payment="done", status="pending")
    given(placed).when(voided).then(noted="no undo was asked", payment="requested")
