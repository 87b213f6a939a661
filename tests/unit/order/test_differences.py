"""What differs between an order and its participants, what each difference means, and what the order does about it."""

from typing import Any

import pytest

from order_service.fulfillment.differences import RULES, Belief, Difference, Healing, Meaning, believed, difference
from order_service.fulfillment.inputs import DifferenceFound, SettlementRequested, WorkFound
from order_service.fulfillment.parts import NOTHING, PARTS, Stage
from order_service.fulfillment.workflow import amounts, newest
from payment_service.domain import Status as PaymentStatus
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
from shared.values import changed
from shipping_service.domain import Status as ShipmentStatus
from tests.unit.order import scenario as told
from tests.unit.order.scenario import Scenario, given, wait

PART = {part.service: part for part in PARTS}
GONE_BACK = (told.placed, told.authorized, told.reserved, told.cancelled)
CANCELLED = (*GONE_BACK, told.voided, told.released, told.unbooked)
DECLINED = (told.placed, told.reserved, told.declined, told.released)
REFUNDED = (*told.TO_CAPTURE, told.reversed_by_operator, told.refunded, told.released, told.unbooked)


def found(order: Scenario, service: str, status: str, **document: Any) -> Difference | None:
    """What differs when the participant says so; money and parcel are as the order knows them, unless given."""
    facts = order.saga.facts
    known = {**amounts(facts), "carrier": facts.get("carrier"), "tracking_number": facts.get("tracking_number")}
    return difference(order.flow, order.saga, PART[service], status, known | document)


def heal(order: Scenario, service: str, status: str, **document: Any) -> Scenario:
    """The order after it was told of the difference."""
    differs = found(order, service, status, **document)
    assert differs
    meaning, healing = differs.meaning, differs.healing
    return order.when(DifferenceFound(step=differs.step, meaning=meaning, healing=healing, note=differs.detail))


@pytest.mark.parametrize(
    ("story", "service", "status", "meaning", "healing", "step"),
    [
        ((told.placed,), "payment", NOTHING, "request_lost", "ask", "payment"),
        ((told.placed,), "payment", "authorized", "answer_lost", "ask", "payment"),
        ((told.placed,), "inventory", "unavailable", "answer_lost", "ask", "inventory"),
        ((told.placed,), "payment", "voided", "undone_meanwhile", "turn_back", "payment"),
        ((told.placed, told.authorized), "payment", NOTHING, "work_forgotten", "rebuild", "payment"),
        ((told.placed, told.authorized), "payment", "declined", "refused_meanwhile", "person", "payment"),
        ((told.placed, told.reserved), "inventory", "released", "undone_meanwhile", "turn_back", "inventory"),
        (told.TO_CAPTURE, "payment", "authorized", "request_lost", "ask", "capture"),
        (told.TO_CAPTURE, "payment", "captured", "answer_lost", "ask", "capture"),
        (told.TO_CAPTURE, "payment", NOTHING, "work_forgotten", "rebuild", "payment"),
        (told.TO_CAPTURE, "payment", "voided", "undone_meanwhile", "turn_back", "payment"),
        ((*told.TO_CAPTURE, told.captured), "inventory", "reserved", "request_lost", "ask", "issue"),
        ((*told.TO_CAPTURE, told.captured), "inventory", "released", "undone_meanwhile", "person", "inventory"),
        (told.TO_THE_END, "payment", NOTHING, "work_forgotten", "rebuild", "payment"),
        (told.TO_THE_END, "payment", "authorized", "work_forgotten", "rebuild", "capture"),
        (told.TO_THE_END, "inventory", "reserved", "work_forgotten", "rebuild", "issue"),
        (told.TO_THE_END, "shipping", "booked", "work_forgotten", "rebuild", "dispatch"),
        (told.TO_THE_END, "payment", "refunded", "undone_meanwhile", "person", "payment"),
        (GONE_BACK, "payment", "authorized", "undo_lost", "ask", "payment"),
        (GONE_BACK, "payment", "voided", "answer_lost", "ask", "payment"),
        (GONE_BACK, "inventory", "issued", "cannot_be_undone", "person", "inventory"),
        (CANCELLED, "inventory", "reserved", "held_for_a_dead_order", "undo", "inventory"),
        (CANCELLED, "inventory", NOTHING, "undo_forgotten", "undo", "inventory"),
        (CANCELLED, "inventory", "issued", "cannot_be_undone", "person", "inventory"),
        (CANCELLED, "payment", "authorized", "held_for_a_dead_order", "undo", "payment"),
        (CANCELLED, "payment", NOTHING, "work_forgotten", "rebuild", "payment"),
        (CANCELLED, "shipping", "booked", "held_for_a_dead_order", "undo", "shipping"),
        (DECLINED, "shipping", "booked", "held_for_a_dead_order", "undo", "shipping"),
        (CANCELLED, "shipping", "dispatched", "cannot_be_undone", "person", "shipping"),
        (REFUNDED, "payment", "authorized", "work_forgotten", "rebuild", "capture"),
        (REFUNDED, "payment", "captured", "held_for_a_dead_order", "undo", "payment"),
        (DECLINED, "payment", NOTHING, "undo_forgotten", "undo", "payment"),
        (DECLINED, "payment", "authorized", "held_for_a_dead_order", "undo", "payment"),
    ],
)
def test_a_difference_has_a_name_and_a_healing(
    story: tuple[Any, ...], service: str, status: str, meaning: str, healing: str, step: str
) -> None:
    """Each row: how far the order is, who says what, what that means, and how which step heals it."""
    differs = found(given(*story), service, status)
    assert differs
    assert (differs.meaning, differs.healing, differs.step) == (meaning, healing, step)
    assert f"{service} says {status}" in differs.detail


@pytest.mark.parametrize(
    ("story", "service", "statuses"),
    [
        ((told.placed,), "payment", ["authorizing"]),
        ((told.placed,), "shipping", [NOTHING, "booked", "cancelled"]),  # the order will come to it
        ((told.placed, told.authorized), "payment", ["authorizing", "authorized", "capturing", "captured"]),
        (told.TO_CAPTURE, "payment", ["authorizing", "capturing"]),
        (told.TO_THE_END, "payment", ["captured", "capturing"]),
        (told.TO_THE_END, "inventory", ["issued"]),
        (told.TO_THE_END, "shipping", ["dispatching", "dispatched"]),
        (CANCELLED, "payment", ["voided", "declined"]),
        (CANCELLED, "shipping", ["refused", "cancelled"]),
        (DECLINED, "shipping", [NOTHING, "refused", "cancelled"]),
        (DECLINED, "payment", ["declined", "voided"]),
        (told.TO_THE_END, "payment", ["a status of a later version"]),
    ],
)
def test_what_agrees_or_will_agree_is_no_difference(story: tuple[Any, ...], service: str, statuses: list[str]) -> None:
    """A participant that is as far, or is at it, or is not asked yet, differs in nothing."""
    assert [found(given(*story), service, status) for status in statuses] == [None] * len(statuses)


@pytest.mark.parametrize(
    ("story", "service", "status", "document", "words"),
    [
        (told.TO_THE_END, "payment", "captured", {"captured": 1}, "captured is 8990 to the order, but payment says 1"),
        (told.TO_THE_END, "shipping", "dispatched", {"tracking_number": "X"}, "tracking_number is ALB-7 to the order"),
        (CANCELLED, "payment", "voided", {"voided": 7}, "voided is 8990 to the order, but payment says 7"),
    ],
)
def test_what_was_told_of_money_and_parcel_must_be_so(
    story: tuple[Any, ...], service: str, status: str, document: dict[str, Any], words: str
) -> None:
    """Where both are as far, amounts and tracking numbers agree, or a person is called."""
    differs = found(given(*story), service, status, **document)
    assert differs
    assert (differs.meaning, differs.healing) == (Meaning.TOLD_OTHERWISE, Healing.PERSON)
    assert words in differs.detail


def test_a_lost_request_is_asked_for_again() -> None:
    """It counts as one more attempt; the last one is left to its deadline, so that silence still turns it back."""
    order = given(told.placed)
    for attempt in (2, 3):
        order = heal(order, "payment", NOTHING).then(PaymentRequested, payment="requested")
        assert order.saga.steps["payment"].attempts == attempt
    assert found(order, "payment", NOTHING) is None
    order.when(wait(hours=1)).then(PaymentReversalRequested, StockReleaseRequested, status="cancelling")


def test_what_was_answered_is_not_given_up_for_silence() -> None:
    """A participant that has the answer is asked again without counting, however often that takes."""
    order = given(told.placed)
    for _ in range(5):
        order = heal(order, "payment", "authorized").then(PaymentRequested, status="pending")
    assert order.saga.steps["payment"].attempts == 3
    order.when(told.authorized).then(payment="done")


def test_forgotten_work_is_asked_for_once_more() -> None:
    """The order itself does not move, and the answer that comes again is noted."""
    order = given(*told.TO_THE_END)
    healed = heal(order, "payment", NOTHING).then(PaymentRequested, status="fulfilled")
    assert healed.saga == order.saga
    assert healed.decisions[0].history[0].did == ("payment asked for once more",)
    healed.when(told.authorized).then(noted="already done")
    heal(order, "payment", "authorized").then(CaptureRequested)
    heal(order, "inventory", "reserved").then(StockIssueRequested)
    heal(order, "shipping", "booked").then(DispatchRequested)
    heal(order, "shipping", NOTHING).then(ShipmentRequested)
    heal(order, "inventory", NOTHING).then(StockRequested)


@pytest.mark.parametrize("story", [CANCELLED, DECLINED, REFUNDED], ids=["cancelled", "declined", "refunded"])
def test_what_a_dead_order_holds_is_undone_until_it_is(story: tuple[Any, ...]) -> None:
    """The order stays cancelled, asks for the undo, asks again when nobody answers, and rests when it is answered."""
    order = heal(given(*story), "inventory", "reserved").then(StockReleaseRequested, status="cancelled")
    order = order.when(wait(hours=1)).then(StockReleaseRequested, status="cancelled", inventory="compensating")
    order = order.when(told.released).then(status="cancelled", inventory="compensated")
    assert order.saga.deadline is None


def test_what_was_never_asked_of_a_cancelled_order_is_undone_too() -> None:
    """A parcel that the order knows nothing of is cancelled, and the order does not open again."""
    order = heal(given(*DECLINED), "shipping", "booked").then(ShipmentCancellationRequested, status="cancelled")
    order.when(told.unbooked).then(status="cancelled", shipping="compensated")


def test_an_order_that_can_never_be_fulfilled_turns_back() -> None:
    """Payment is undone for good: the pivot is withdrawn, and all is undone."""
    undos = (PaymentReversalRequested, StockReleaseRequested, ShipmentCancellationRequested)
    order = heal(given(*told.TO_CAPTURE), "payment", "voided")
    order.then(*undos, status="cancelling", reason="participant_undone", capture="withdrawn")
    order.when(told.voided, told.released, told.unbooked).then(status="cancelled")


def test_a_person_is_called_once() -> None:
    """The order needs attention for that reason; when a person has settled it, the part is left alone."""
    order = heal(given(*told.TO_THE_END), "payment", "refunded").then(status="fulfilled")
    assert "undone meanwhile" in order.problems["payment"]
    assert found(order, "payment", "refunded") is None
    settled = order.when(SettlementRequested(step="payment", note="the customer was called"))
    assert settled.problems == {}
    assert [found(settled, "payment", status) for status in ("refunded", NOTHING, "authorized")] == [None] * 3


def test_what_is_forgotten_of_a_person_cannot_be_asked_again() -> None:
    """Without token or address only a person can help; what needs neither is asked for."""
    order = given(*told.TO_THE_END)
    facts = {**order.saga.facts, "payment_token": "", "ship_to": {}}
    order = Scenario(order.flow, changed(order.saga, facts=facts))
    differs = found(order, "payment", NOTHING), found(order, "shipping", NOTHING), found(order, "inventory", "reserved")
    assert [each and each.healing for each in differs] == [Healing.PERSON, Healing.PERSON, Healing.REBUILD]


def test_asking_is_not_repeated_while_a_person_is_called() -> None:
    """An undo that was refused for good is not asked for again."""
    order = given(*GONE_BACK, told.void_refused)
    assert found(order, "payment", "authorized") is None


def test_what_people_had_agreed_to_they_are_asked_again() -> None:
    """The order waits for an approval that it had before it was restored: only a person can give it again."""
    order = given(told.placed, told.authorized, told.reserved, needs_approval=True)
    assert found(order, "shipping", NOTHING) is None
    order = heal(order, "shipping", "dispatched").then(status="awaiting_approval")
    assert order.problems == {"approval": "agreed meanwhile: shipping says dispatched, and approval is not given yet"}
    order.when(told.granted).then(ShipmentRequested, approval="done")
    assert order.when(told.granted).problems == {}


def test_late_news_are_only_noted() -> None:
    """Told of a difference that is none any more, the order does nothing."""
    late = given(*told.TO_THE_END)
    for healing in (Healing.ASK, Healing.UNDO, Healing.TURN_BACK):
        event = DifferenceFound(step="payment", meaning=Meaning.REQUEST_LOST, healing=healing)
        assert late.when(event).then(noted="payment is done").saga == late.saga


def lost(payment: Stage, inventory: Stage, shipping: Stage, **facts: Any) -> Scenario:
    """An order that is found again by what its participants hold."""
    return given(**facts).when(WorkFound(stages={"payment": payment, "inventory": inventory, "shipping": shipping}))


@pytest.mark.parametrize("payment", [Stage.NOTHING, Stage.HELD, Stage.FINISHED])
def test_a_lost_order_is_undone(payment: Stage) -> None:
    """All participants are told, also those that know nothing yet: their requests may still be on the way."""
    undos = (PaymentReversalRequested, StockReleaseRequested, ShipmentCancellationRequested)
    order = lost(payment, Stage.HELD, Stage.NOTHING).then(*undos, status="cancelling", reason="unknown_order")
    order.when(told.voided, told.released, told.unbooked).then(status="cancelled")


@pytest.mark.parametrize(
    ("inventory", "shipping"),
    [(Stage.FINISHED, Stage.FINISHED), (Stage.HELD, Stage.FINISHING), (Stage.FINISHED, Stage.HELD)],
)
def test_a_lost_order_past_its_pivot_goes_on(inventory: Stage, shipping: Stage) -> None:
    """It is paid, and something has left: it is fulfilled, and a person must say whose it is."""
    known = {"authorized": 89_90, "captured": 89_90, "tracking_number": "ALB-7", "carrier": "Albatross"}
    order = lost(Stage.FINISHED, inventory, shipping, **known)
    order.then(StockIssueRequested, DispatchRequested, status="paid", approval="skipped")
    order = order.when(told.issued, told.dispatched).then(status="fulfilled")
    assert list(order.problems) == ["capture"]


def test_what_cannot_be_undone_of_a_lost_order_calls_a_person() -> None:
    """The parcel is gone and nobody has paid: the goods are released, and the parcel is told to a person."""
    order = lost(Stage.UNDONE, Stage.HELD, Stage.FINISHED)
    order.then(PaymentReversalRequested, StockReleaseRequested, shipping="withdrawn")
    assert list(order.problems) == ["shipping"]
    order.when(told.voided, told.released).then(status="cancelled")


def test_an_order_that_is_known_is_not_found_again() -> None:
    """Work found for it changes nothing."""
    stages = {"payment": Stage.HELD, "inventory": Stage.HELD, "shipping": Stage.NOTHING}
    given(told.placed).when(WorkFound(stages=stages)).then(noted="the order is known")


def test_every_word_is_one_that_is_used() -> None:
    """Parts have steps of the workflow, their statuses exist, and every belief has its row."""
    steps = {name for part in PARTS for name in (part.first, part.second)}
    assert steps <= set(newest().named)
    assert steps >= {newest().pivot.name}
    assert set(PART["payment"].stages) - {NOTHING} == {*PaymentStatus}
    assert set(PART["shipping"].stages) - {NOTHING} == {*ShipmentStatus}
    assert RULES.keys() == set(Belief)
    assert believed(given(told.placed).saga, PART["shipping"]) is Belief.UNASKED
