"""Promises 3 and 6 of the saga, on undos that are refused for good and on answers that cannot be true."""

import pytest

from order_service.fulfillment.inputs import DeadlineMoved, RetryRequested, SettlementRequested
from order_service.fulfillment.workflow import amounts
from shared.contracts import (
    CaptureRequested,
    DispatchRequested,
    PaymentAuthorized,
    PaymentRequested,
    PaymentReversalRequested,
    PaymentReversed,
    ShipmentBooked,
    ShipmentCancellationRequested,
    StockReleaseRequested,
)
from tests.unit.order.scenario import (
    ID,
    LIES,
    NOON,
    TO_CAPTURE,
    TO_THE_END,
    Story,
    authorized,
    booked,
    cancel_refused,
    cancelled,
    captured,
    declined,
    dispatched,
    given,
    issued,
    placed,
    refund_refused,
    refunded,
    released,
    reserved,
    reversed_by_operator,
    unavailable,
    unbooked,
    undeliverable,
    void_refused,
    voided,
    wait,
)

BACK = (placed, authorized, reserved, undeliverable, released)  # the payment's undo is all that is owed


def by_hand(step: str) -> SettlementRequested:
    return SettlementRequested(step=step, note="seen to by hand")


# An undo refused for good


def test_a_refused_undo_parks_its_step_and_says_why() -> None:
    """The order stays `cancelling`, needs a person at once, and shows what the card network said."""
    order = given(*BACK).when(void_refused).then(status="cancelling", payment="compensating")
    assert order.decisions[0].acted
    assert order.problems == {"payment": "refused: the authorization expired"}
    (entry,) = order.decisions[0].history
    assert (entry.event, entry.step, entry.detail) == (
        "payment.reversal_refused",
        "payment",
        "the authorization expired",
    )


def test_a_refused_undo_is_not_asked_for_again() -> None:
    """Asking would only make the history longer: nothing is due, however long nobody looks."""
    order = given(*BACK, void_refused)
    assert order.saga.deadline is None
    order = order.when(wait(days=365)).then(status="cancelling")
    assert order.decisions[0].history == ()


def test_a_refusal_that_is_repeated_is_noted() -> None:
    """Both answers to an undo that was asked for twice arrive; the second changes nothing."""
    given(*BACK, wait(minutes=10), void_refused).when(void_refused).then(noted="already compensating")


def test_other_undos_go_on() -> None:
    """A refused undo keeps nobody else from undoing, and the order from ending before all is settled."""
    order = given(*TO_CAPTURE, reversed_by_operator, cancel_refused, released).when(voided).then(status="cancelling")
    assert order.problems == {"shipping": "refused: it is in the van"}
    order.when(by_hand("shipping")).then(status="cancelled", shipping="compensated")


@pytest.mark.parametrize(
    ("story", "refusal", "told"),
    [
        ((), void_refused, {"authorized": 89_90, "captured": 0, "voided": 0, "refunded": 0}),
        ((captured,), refund_refused, {"authorized": 89_90, "captured": 89_90, "voided": 0, "refunded": 0}),
        ((), refund_refused, {"authorized": 89_90, "captured": 89_90, "voided": 0, "refunded": 0}),
    ],
)
def test_the_customer_is_told_what_is_still_held(
    story: tuple[Story, ...], refusal: Story, told: dict[str, int]
) -> None:
    """What was not given back is authorized less voided and captured less refunded, whoever else was heard or not, and
    also when an operator has settled it."""
    order = given(*TO_CAPTURE, reversed_by_operator, *story).when(refusal)
    assert amounts(order.saga.facts) == told
    assert amounts(order.hears(by_hand("payment")).saga.facts) == told
    assert amounts(given(placed, cancelled, void_refused).saga.facts)["authorized"] == 89_90


def test_what_a_carrier_keeps_is_known_from_its_refusal() -> None:
    """The carrier and the number of a booking that cannot be cancelled, although nobody heard that it was made."""
    order = given(placed, authorized, reserved, cancelled, cancel_refused)
    assert (order.saga.facts["carrier"], order.saga.facts["tracking_number"]) == ("Albatross", "ALB-7")


def test_an_operator_settles_a_refused_undo() -> None:
    """With a note, the order ends; why it needed a person stays on its step."""
    order = given(*BACK, void_refused).when(by_hand("payment")).then(status="cancelled", payment="compensated")
    assert order.decisions[0].history[0].detail == "seen to by hand"
    assert not order.saga.needs_attention(order.flow)
    problem = order.saga.steps["payment"].problem
    assert problem
    assert (problem.words, problem.settled) == ("refused: the authorization expired", True)


def test_an_operator_settles_an_undo_that_nobody_answers() -> None:
    """A step that is parked while compensating can be settled, and one that is still asked patiently cannot."""
    order = given(*BACK).when(by_hand("payment")).then(noted="payment is compensating")
    order = order.hears(*[wait(hours=1)] * 3)
    assert order.problems == {"payment": "no answer to 3 askings"}
    order.when(by_hand("payment")).then(status="cancelled", payment="compensated")


def test_what_is_heard_after_a_settlement_is_still_learned() -> None:
    """The money came back after all: the step stays settled, and the amounts tell it."""
    order = given(*BACK, void_refused, by_hand("payment")).when(voided).then(noted="already compensated")
    assert amounts(order.saga.facts) == {"authorized": 89_90, "captured": 0, "voided": 89_90, "refunded": 0}


def test_a_refused_undo_can_be_asked_for_again_by_a_person() -> None:
    """A retry asks once more and waits for an answer; one that it was undone settles the step."""
    order = given(*BACK, void_refused).when(RetryRequested(step="payment")).then(PaymentReversalRequested)
    assert order.problems == {}
    order.when(void_refused).then(status="cancelling", payment="compensating")
    order.when(voided).then(status="cancelled", payment="compensated")
    later = DeadlineMoved(step="payment", deadline=NOON + wait(hours=3))
    given(*BACK, void_refused, later).when(wait(hours=3)).then(PaymentReversalRequested)


def test_a_straggler_whose_undo_is_refused_needs_a_person_and_leaves_its_order_cancelled() -> None:
    """A success after a failure is owed an undo; when that is refused, somebody has to look at a cancelled order."""
    order = given(placed, declined, released, authorized).when(void_refused).then(status="cancelled")
    assert order.problems == {"payment": "refused: the authorization expired"}
    order = order.when(by_hand("payment")).then(status="cancelled", payment="compensated")
    assert order.problems == {}


def test_a_refusal_of_an_undo_that_nobody_asked_for_is_noted() -> None:
    """Before the order turned back, and after the step was undone, it changes nothing."""
    given(placed).when(void_refused).then(noted="no undo was asked", payment="requested")
    given(*BACK, voided).when(void_refused).then(status="cancelled", payment="compensated")


# An answer must agree with the question


@pytest.mark.parametrize(
    ("story", "lie", "step", "honest"),
    [
        ((placed, reserved), "payment", "payment", authorized),
        (TO_CAPTURE, "capture", "capture", captured),
        ((*TO_CAPTURE, captured, issued), "dispatch", "dispatch", dispatched),
        (BACK, "voided", "payment", voided),
        ((*BACK[:-2], cancelled, released), "voided", "payment", voided),
        (BACK, "refused", "payment", voided),
    ],
)
def test_a_contradiction_settles_nothing_and_calls_a_person(
    story: tuple[Story, ...], lie: str, step: str, honest: Story
) -> None:
    """It is in the history with what is wrong and teaches nothing; a person is needed until an answer agrees."""
    order = given(*story)
    heard = order.when(LIES[lie]).then(status=order.status, **{step: order.saga.steps[step].status.value})
    (entry,) = heard.decisions[0].history
    assert entry.outcome.startswith("noted: contradicts what is known: ")
    assert list(heard.problems) == [step]
    assert heard.saga.facts == order.saga.facts
    assert heard.saga.steps[step].deadline == order.saga.steps[step].deadline, "it is no answer: patience goes on"
    assert not heard.hears(honest).problems


def test_what_was_heard_first_stands() -> None:
    """A repeated success with another story does not rewrite what is known, and a person is called."""
    other = ShipmentBooked(order_id=ID, carrier="Stork", tracking_number="STO-1")
    order = given(*TO_CAPTURE).when(other).then(shipping="done", capture="requested")
    assert order.saga.facts["carrier"] == "Albatross"
    assert order.problems == {
        "shipping": "contradicts what is known: carrier Stork, not Albatross, tracking_number STO-1, not ALB-7"
    }


def test_money_that_appears_after_it_was_given_back_needs_a_person() -> None:
    """Nothing had been held, said payment; now it says that something is."""
    nothing = PaymentReversed(order_id=ID, voided=0, refunded=0)
    order = given(placed, unavailable, nothing).when(authorized).then(status="cancelled", payment="compensated")
    assert list(order.problems) == ["payment"]


@pytest.mark.parametrize("story", [(captured,), (authorized, captured)])
def test_what_was_taken_is_refunded_and_not_voided(story: tuple[Story, ...]) -> None:
    """A void of what was captured cannot be, in whatever order it is heard."""
    order = given(*TO_CAPTURE, reversed_by_operator, *story)
    assert list(order.when(voided).problems) == ["payment"]
    assert not order.when(refunded).problems


def test_a_compensatable_step_that_only_contradicts_turns_the_order_back() -> None:
    """It is asked again like a silent one, and when its attempts are spent the order says what was wrong."""
    order = given(placed, reserved, LIES["payment"], wait(seconds=30)).when(LIES["payment"], wait(seconds=60))
    assert PaymentRequested in map(type, order.sent)
    order = order.hears(LIES["payment"]).when(wait(seconds=120))
    order.then(PaymentReversalRequested, StockReleaseRequested, reason="timed_out", payment="compensating")
    assert (
        order.saga.reason_detail == "no answer from payment in time: contradicts what is known: "
        "authorization_id AUTH-1, authorized 1"
    )
    order.when(PaymentReversed(order_id=ID, voided=0, refunded=0)).then(payment="compensated")


def test_a_contradicted_capture_can_be_reversed_and_settled() -> None:
    """Whoever took another amount is asked to give it back; an operator may turn back, and settle what cannot be."""
    order = given(*TO_CAPTURE, LIES["capture"]).when(by_hand("capture")).then(noted="capture is requested")
    order = order.when(reversed_by_operator)
    order.then(PaymentReversalRequested, StockReleaseRequested, ShipmentCancellationRequested, status="cancelling")
    order = order.hears(released, unbooked, LIES["voided"]).when(by_hand("payment"))
    order.then(status="cancelled", payment="compensated")


def test_a_success_after_a_failure_that_contradicts_is_owed_an_undo_all_the_same() -> None:
    """Something may be held: it is undone, and a person is called."""
    order = given(placed, declined, released).when(LIES["payment"])
    order.then(PaymentReversalRequested, status="cancelled", payment="compensating")
    assert list(order.problems) == ["payment"]


def test_a_contradiction_of_a_step_that_is_done_is_settled_by_a_person() -> None:
    """Nothing that can still be heard would take it back; and the same again is not news."""
    other = PaymentAuthorized(order_id=ID, authorization_id="AUTH-2", authorized=89_90)
    order = given(*TO_THE_END).when(other).then(status="fulfilled", payment="done")
    assert list(order.problems) == ["payment"]
    order = order.when(by_hand("payment")).then(status="fulfilled", payment="done")
    assert not order.problems
    order.when(other).then(payment="done")
    assert not order.problems
    assert list(order.hears(LIES["payment"]).problems) == ["payment"]


def test_an_earlier_writer_did_not_say_which_parcel_left() -> None:
    """A dispatch without carrier and number agrees with the booking."""
    given(*TO_CAPTURE, captured, issued).when(type(dispatched)(order_id=ID)).then(status="fulfilled", dispatch="done")


def test_only_what_needs_a_person_can_be_settled() -> None:
    """A step that is done, waits, or is asked with patience left is none of it."""
    for step in ("payment", "issue", "dispatch", "approval"):
        order = given(*TO_CAPTURE, captured)
        order.when(by_hand(step)).then(status="paid").then(noted=f"{step} is {order.saga.steps[step].status}")
    given(*TO_CAPTURE).when(booked).then(noted="already done")
    assert CaptureRequested in map(type, given(placed, authorized, reserved).when(booked).sent)
    assert DispatchRequested in map(type, given(*TO_CAPTURE).when(captured).sent)
