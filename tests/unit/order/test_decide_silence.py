"""Promise 3 of the saga, on silence: each test proves its sentence."""

from dataclasses import replace

import pytest

from order_service.fulfillment.workflow import FULFILLMENT
from shared.contracts import (
    CaptureRequested,
    DispatchRequested,
    PaymentRequested,
    PaymentReversalRequested,
    ShipmentRequested,
    StockIssueRequested,
    StockReleaseRequested,
)
from tests.unit.order.scenario import (
    NOON,
    TO_CAPTURE,
    Story,
    authorized,
    cancelled,
    captured,
    declined,
    dispatched,
    given,
    granted,
    issued,
    placed,
    released,
    reserved,
    wait,
)


def test_silence_is_asked_again_with_growing_patience() -> None:
    """Each further asking doubles the patience."""
    order = given(placed, reserved).when(wait(seconds=29)).then()
    assert order.decisions[-1].history == ()
    order = order.when(wait(seconds=1)).then(PaymentRequested)
    order = order.when(wait(seconds=59)).then()
    order = order.when(wait(seconds=1)).then(PaymentRequested, payment="requested")
    assert order.saga.steps["payment"].attempts == 3
    assert order.saga.steps["payment"].requested_at == NOON


def test_silence_from_a_compensatable_step_is_a_failure() -> None:
    """Silence from a compensatable step, after its attempts, is a failure: turn back, and undo the silent step too."""
    order = given(placed, reserved, wait(seconds=30), wait(seconds=60)).when(wait(seconds=119)).then()
    order = order.when(wait(seconds=1)).then(PaymentReversalRequested, StockReleaseRequested, reason="timed_out")
    assert order.saga.reason_detail == "no answer from payment in time"


def test_an_answer_after_the_deadline_counts_until_the_clock_was_heard() -> None:
    """A success that arrives before the tick that would have ended the wait is taken."""
    order = given(placed, reserved, wait(seconds=30), wait(seconds=60))
    replace(order, now=order.now + wait(hours=1)).when(authorized).then(ShipmentRequested, status="confirmed")


def test_the_first_reason_stands_when_patience_ends_with_it() -> None:
    """A cancellation heard at the very moment at which the last attempt ran out is the reason, not the silence."""
    order = given(placed, reserved, wait(seconds=30), wait(seconds=60))
    replace(order, now=order.now + wait(seconds=120)).when(cancelled).then(
        PaymentReversalRequested, StockReleaseRequested, reason="customer_request"
    )


def test_the_earliest_deadline_is_the_orders() -> None:
    """Time has to be told at the first deadline, and a person's longer patience is not cut to the slowest pace."""
    assert given(placed, wait(seconds=29), authorized, cancelled).saga.deadline == NOON + wait(seconds=59)
    order = given(*TO_CAPTURE, captured)
    assert {name: p.deadline for name, p in order.saga.steps.items() if p.deadline} == {
        "issue": NOON + wait(seconds=30),
        "dispatch": NOON + wait(seconds=60),
    }
    assert order.saga.deadline == NOON + wait(seconds=30)
    assert given(placed, authorized, reserved, needs_approval=True).saga.deadline == NOON + wait(days=2)


def test_an_approval_expires() -> None:
    """Nobody decided in time: the order turns back, says so, and a yes comes too late."""
    order = given(placed, authorized, reserved, needs_approval=True).when(wait(days=2))
    order.then(PaymentReversalRequested, StockReleaseRequested, reason="approval_expired", approval="withdrawn")
    order.when(granted).then(noted="already withdrawn", status="cancelling")


@pytest.mark.parametrize(
    ("story", "step", "request_", "attempts", "answer"),
    [
        (TO_CAPTURE, "capture", CaptureRequested, 5, captured),
        ((*TO_CAPTURE, captured, dispatched), "issue", StockIssueRequested, 10, issued),
        ((*TO_CAPTURE, captured, issued), "dispatch", DispatchRequested, 10, dispatched),
        ((placed, declined), "inventory", StockReleaseRequested, 3, released),
    ],
)
def test_some_silence_never_ends_the_saga(
    story: tuple[Story, ...], step: str, request_: type, attempts: int, answer: Story
) -> None:
    """Silence from an undo, a retriable step or the pivot is asked again for ever, at most every 15 minutes; parked,
    the order needs attention, and any answer settles it."""
    order = given(*story)
    status = order.status
    for attempt in range(2, attempts + 20):
        assert order.saga.deadline is not None
        pause = order.saga.deadline - order.now
        assert pause <= FULFILLMENT.slowest
        order = order.when(pause).then(request_, status=status)
        assert order.saga.steps[step].attempts == attempt
        assert order.saga.needs_attention(order.flow) == (attempt > attempts)
    assert order.saga.deadline == order.now + FULFILLMENT.slowest
    order = order.when(answer)
    assert not order.saga.needs_attention(order.flow)
    assert order.saga.steps[step].status in ("done", "compensated")
