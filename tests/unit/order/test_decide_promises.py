"""Promises 1 and 2 of the saga, on undo and late answers: each test proves its sentence."""

import pytest

from order_service.fulfillment.workflow import amounts
from shared.contracts import (
    CaptureRequested,
    DispatchRequested,
    PaymentRequested,
    PaymentReversalRequested,
    ShipmentCancellationRequested,
    ShipmentRequested,
    StockIssueRequested,
    StockReleaseRequested,
    StockRequested,
)
from tests.unit.order.scenario import (
    NOON,
    TO_CAPTURE,
    Story,
    authorized,
    booked,
    cancelled,
    capture_refused,
    captured,
    declined,
    dispatched,
    given,
    granted,
    issued,
    placed,
    refunded,
    refused,
    released,
    reserved,
    reversed_by_operator,
    unavailable,
    unbooked,
    undeliverable,
    voided,
    wait,
)


def test_the_way_of_a_good_order() -> None:
    """Payment and stock are asked at once, shipping when both are settled, the money before the goods leave."""
    order = given().when(placed).then(PaymentRequested, StockRequested, status="pending")
    order = order.when(authorized).then(status="pending")
    order = order.when(reserved).then(ShipmentRequested, status="confirmed", approval="skipped")
    order = order.when(booked).then(CaptureRequested, status="confirmed")
    order = order.when(captured).then(StockIssueRequested, DispatchRequested, status="paid")
    order = order.when(issued).then(status="paid")
    order = order.when(dispatched).then(status="fulfilled")
    assert order.saga.deadline is None


def test_what_is_asked_is_what_is_known() -> None:
    """A request carries the order's own facts and what earlier answers told."""
    payment, stock = given().when(placed).sent
    assert (payment.amount, payment.currency, payment.payment_token) == (89_90, "EUR", "tok_visa")
    assert [(line.sku, line.quantity) for line in stock.lines] == [("POPULAR-LAMP", 2)]
    (shipment,) = given(placed, authorized).when(reserved).sent
    assert shipment.ship_to.city == "London"
    (capture,) = given(placed, authorized, reserved).when(booked).sent
    assert (capture.authorization_id, capture.amount) == ("AUTH-1", 89_90)
    _, dispatch = given(*TO_CAPTURE).when(captured).sent
    assert dispatch.tracking_number == "ALB-7"


def test_people_are_asked_when_an_order_needs_approval() -> None:
    """An order that needs approval waits for a person, and nothing is sent meanwhile."""
    order = given(placed, authorized, needs_approval=True).when(reserved)
    order.then(status="awaiting_approval", approval="requested")
    order.when(granted).then(ShipmentRequested, status="confirmed", approval="done")


# Promise 1: undo


@pytest.mark.parametrize(
    ("story", "undone"),
    [
        ((placed,), [PaymentReversalRequested, StockReleaseRequested]),
        ((placed, reserved), [PaymentReversalRequested, StockReleaseRequested]),
        (
            (placed, authorized, reserved),
            [*(PaymentReversalRequested, StockReleaseRequested), ShipmentCancellationRequested],
        ),
    ],
)
def test_undo_is_sent_at_once_to_every_step_that_may_have_happened(
    story: tuple[Story, ...], undone: list[type]
) -> None:
    """Undo is sent, at once, to every step that may have happened (requested or done), never to one not asked."""
    given(*story).when(cancelled).then(*undone, status="cancelling", reason="customer_request", capture="waiting")


@pytest.mark.parametrize(
    ("story", "refusal", "undone", "reason"),
    [
        ((placed, reserved), declined, [StockReleaseRequested], "payment_declined"),
        ((placed,), unavailable, [PaymentReversalRequested], "out_of_stock"),
        (
            (placed, authorized, reserved),
            undeliverable,
            [PaymentReversalRequested, StockReleaseRequested],
            "undeliverable",
        ),
        (
            TO_CAPTURE,
            capture_refused,
            [PaymentReversalRequested, StockReleaseRequested, ShipmentCancellationRequested],
            "capture_refused",
        ),
    ],
)
def test_a_refusal_turns_the_order_back(
    story: tuple[Story, ...], refusal: Story, undone: list[type], reason: str
) -> None:
    """A refusal is no step to undo itself; everything else that may have happened is undone, and the order says why."""
    order = given(*story).when(refusal).then(*undone, status="cancelling", reason=reason)
    assert order.saga.reason_detail == refusal.detail


def test_an_order_that_was_turned_back_asks_nothing_new() -> None:
    """Cancelled before anything was asked, it owes nothing, and placing it comes too late."""
    given().when(cancelled, placed).then(status="cancelled", payment="waiting", inventory="waiting")


def test_a_refused_approval_turns_the_order_back() -> None:
    """A person's no is a refusal like any other, and their note is the detail."""
    order = given(placed, authorized, reserved, needs_approval=True).when(refused)
    order.then(PaymentReversalRequested, StockReleaseRequested, reason="approval_refused", approval="failed")
    assert order.saga.reason_detail == "too much"


def test_a_granted_approval_is_withdrawn() -> None:
    """Undoing an approval sends nothing: whether asked or granted, it is withdrawn."""
    awaited = given(placed, authorized, reserved, needs_approval=True)
    undone = (PaymentReversalRequested, StockReleaseRequested)
    awaited.when(cancelled).then(*undone, approval="withdrawn")
    awaited.hears(granted).when(undeliverable).then(*undone, approval="withdrawn", shipping="failed")


def test_cancelled_means_that_nothing_is_owed() -> None:
    """An order is cancelling until every undo is confirmed, and then cancelled."""
    order = given(placed, authorized, reserved, cancelled).when(voided, released).then(status="cancelling")
    order.when(unbooked).then(
        status="cancelled", payment="compensated", inventory="compensated", shipping="compensated"
    )
    given(placed, declined).when(unavailable).then(status="cancelling", inventory="compensating")


# Promise 2: late successes


def test_a_success_heard_after_turning_back_is_recorded_not_acted_on() -> None:
    """A success heard after turning back is recorded, not acted on: its step is already being undone."""
    back = given(placed, unavailable)
    late = back.when(authorized).then(noted="already compensating", payment="compensating")
    late.when(voided).then(status="cancelled")
    back.hears(voided).when(authorized).then(noted="already compensated", status="cancelled")


def test_a_success_after_a_failure_is_owed_an_undo() -> None:
    """On a step that had failed, a late success is owed an undo."""
    order = given(placed, declined).when(authorized).then(PaymentReversalRequested, status="cancelling")
    order.when(released).then(status="cancelling").when(voided).then(status="cancelled", payment="compensated")


def test_a_cancelled_order_stays_cancelled_while_a_straggler_is_undone() -> None:
    """A failed step found to have happened after its order was cancelled is undone without reopening the order."""
    order = given(placed, declined, released).then(status="cancelled").when(authorized)
    order.then(PaymentReversalRequested, status="cancelled", payment="compensating")
    assert order.saga.deadline == NOON + wait(seconds=30)
    order = order.when(wait(seconds=30)).then(PaymentReversalRequested, status="cancelled")
    order.when(voided).then(status="cancelled", payment="compensated")


def test_a_capture_that_succeeds_after_its_refusal_is_covered_by_the_reversal() -> None:
    """The pivot has no undo of its own: the payment's reversal covers it, so a late capture is noted and learned."""
    order = given(*TO_CAPTURE, capture_refused).when(captured).then(noted="already failed", capture="failed")
    assert amounts(order.saga.facts)["captured"] == 89_90


def test_late_facts_are_learned_so_that_the_amounts_are_right_in_the_end() -> None:
    """A late success changes no step, but what it tells is true, and the customer is shown it."""
    order = given(placed, cancelled, authorized, voided)
    assert amounts(order.saga.facts) == {"authorized": 89_90, "captured": 0, "voided": 89_90, "refunded": 0}
    order = given(*TO_CAPTURE, reversed_by_operator, refunded, captured)
    assert amounts(order.saga.facts) == {"authorized": 89_90, "captured": 89_90, "voided": 0, "refunded": 89_90}


def test_amounts_add_up_even_when_a_message_was_lost() -> None:
    """What was refunded had been captured and authorized, whether or not anybody could say so."""
    order = given(*TO_CAPTURE, reversed_by_operator, refunded)
    assert amounts(order.saga.facts) == {"authorized": 89_90, "captured": 89_90, "voided": 0, "refunded": 89_90}
    assert amounts(given(placed, cancelled, voided).saga.facts)["authorized"] == 89_90
    assert amounts(given(placed).saga.facts) == {"authorized": 0, "captured": 0, "voided": 0, "refunded": 0}
