"""An order's story in words, its picture and its time line, all from what was decided."""

from datetime import UTC, datetime, timedelta
from typing import Any

from order_service.fulfillment.decide import decide
from order_service.fulfillment.inputs import (
    ApprovalGranted,
    ApprovalRefused,
    CancellationRequested,
    OrderPlaced,
    RetryRequested,
    Tick,
)
from order_service.fulfillment.saga import Heard, Saga
from order_service.fulfillment.workflow import FULFILLMENT, newest
from order_service.story import ASKED, DONE, FAILED, NOT_UNDONE, PEOPLE, SAID, UNDOING, UNDONE, tell
from order_service.web.console.drawing import WORDS, draw
from order_service.web.console.timeline import lay_out
from shared.contracts import PaymentAuthorized, PaymentDeclined, PaymentReversalRefused, StockReleased, StockReserved

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ID = "00000000-0000-7000-8000-000000000001"
FACTS = {
    "order_id": ID,
    "amount": 1999,
    "currency": "EUR",
    "payment_token": "tok_visa",
    "lines": [{"sku": "POPULAR-LAMP", "quantity": 1}],
    "ship_to": {"name": "A", "line1": "B", "city": "C", "postal_code": "D", "country": "DE"},
    "needs_approval": False,
}


class Told:
    """An order that hears one thing a second; `steps` and `history` are as the pages get them."""

    def __init__(self, *heard: Heard, **facts: Any) -> None:
        self.saga = Saga.start(FULFILLMENT, {**FACTS, **facts})
        self.history: list[dict[str, Any]] = []
        self.now = NOON
        for each in (OrderPlaced(), *heard):
            self.hear(each)

    def hear(self, event: Heard, after: float = 1.0) -> None:
        decision = decide(FULFILLMENT, self.saga, event, self.now)
        self.saga = decision.saga
        for entry in decision.history:
            fields = {name: getattr(entry, name) for name in entry.__struct_fields__}
            self.history.append({**fields, "seq": len(self.history) + 1, "at": self.now, "actor": "somebody"})
        self.now += timedelta(seconds=after)

    @property
    def order(self) -> dict[str, Any]:
        steps = [
            {"name": name, "status": each.status, "attempts": each.attempts, "settled_at": each.settled_at,
             "deadline": each.deadline, "problem": self.saga.problem(FULFILLMENT.named[name])}
            for name, each in self.saga.steps.items()
        ]  # fmt: skip
        return {"steps": steps, "needs_attention": self.saga.needs_attention(FULFILLMENT)}

    @property
    def story(self) -> list[str]:
        return [each.text for each in tell(FULFILLMENT, self.history)]


AUTHORIZED = PaymentAuthorized(order_id=ID, authorization_id="a", authorized=1999)
RESERVED = StockReserved(order_id=ID)
DECLINED = PaymentDeclined(order_id=ID, detail="insufficient funds")


def test_each_line_of_history_is_one_sentence_or_two() -> None:
    """What was heard, what was done about it, and what became of the order."""
    assert Told(RESERVED, DECLINED, StockReleased(order_id=ID)).story == [
        "The order was placed. Payment is asked to authorize the money and inventory is asked to reserve the goods.",
        "The goods are reserved.",
        "The card was declined (“insufficient funds”). Inventory is asked to release the goods. The order turns back.",
        "The goods are back in stock. The order is cancelled, and nothing is owed any more.",
    ]


def test_what_was_only_noted_is_told_as_that() -> None:
    """With the reason why it changed nothing."""
    assert Told(RESERVED, RESERVED).story[-1] == "Heard, and only noted (already done): the goods are reserved."


def test_silence_and_asking_again_are_told() -> None:
    """With the attempt."""
    told = Told()
    told.now += timedelta(minutes=1)
    told.hear(Tick())
    assert told.story[-1].startswith(
        "Time passed without an answer. Payment is asked to authorize the money again (attempt 2 of 3)"
    )


def test_an_undo_refused_for_good_is_told_with_its_words() -> None:
    """What cannot be given back, why, and that a person is needed."""
    refused = PaymentReversalRefused(order_id=ID, detail="the authorization has expired", held=1999, kept=0)
    told = Told(AUTHORIZED, CancellationRequested(), refused)
    assert told.story[-1] == "The money cannot be given back (“the authorization has expired”)."


def test_a_long_silence_is_told_by_its_beginning_and_its_end() -> None:
    """A thousand times asked in vain are not a thousand sentences; what changes the status is always told."""
    told = Told(AUTHORIZED, CancellationRequested())
    for _ in range(40):
        told.now += timedelta(hours=1)
        told.hear(Tick())
    assert [each[:40] for each in told.story[-3:]] == [
        "Time passed without an answer. Payment i",
        "So it went 38 times more, until:",
        "Time passed without an answer. Payment i",
    ]
    assert len(told.story) == 6


def test_lines_that_are_not_at_hand_are_counted() -> None:
    """A reader is told when not all of a history is there."""
    told = Told(AUTHORIZED, RESERVED, RESERVED, RESERVED)
    story = [each.text for each in tell(FULFILLMENT, [*told.history[:1], *told.history[4:]])]
    assert story[1] == "3 lines of the history are left out here."


def test_every_step_and_every_wish_has_its_words() -> None:
    """A new step of the workflow is told in sentences of its own, not in a makeshift."""
    steps = newest().steps
    assert DONE.keys() == ASKED.keys() == {step.name for step in steps}
    assert FAILED.keys() == {step.name for step in steps if step.failure}
    assert UNDONE.keys() == UNDOING.keys() == {step.name for step in steps if step.undo}
    assert NOT_UNDONE.keys() == {step.name for step in steps if step.undo_refused}
    assert SAID.keys() == {status for _, status in newest().meaning.values()}
    assert {each.type for each in (OrderPlaced, CancellationRequested, RetryRequested)} <= PEOPLE.keys()


def test_the_drawing_shows_each_step_once_and_parallel_steps_side_by_side() -> None:
    """Every step has a place of its own; whatever waits stands further right than what it waits for."""
    told = Told(RESERVED)
    drawing = draw(FULFILLMENT, {each["name"]: each for each in told.order["steps"]})
    places = {each.name: (each.x, each.y) for each in drawing.boxes}
    assert places.keys() == FULFILLMENT.named.keys()
    assert len(set(places.values())) == len(places)
    assert places["payment"][0] == places["inventory"][0]
    for step in FULFILLMENT.steps:
        assert all(places[before][0] < places[step.name][0] for before in step.after)
    assert len(drawing.edges) == sum(len(step.after) for step in FULFILLMENT.steps)
    assert "inventory: done" in drawing.summary
    assert "payment: asked" in drawing.summary
    assert {status.value for each in told.saga.steps.values() for status in [each.status]} <= WORDS.keys()


def test_waiting_in_vain_looks_different_from_working() -> None:
    """The asking that was answered is work; the one before it, that nobody answered, is a wait."""
    told = Told(RESERVED)
    told.now += timedelta(minutes=1)
    told.hear(Tick())
    told.hear(AUTHORIZED)
    line = lay_out(FULFILLMENT, told.history, told.now)
    payment = [each.kind for each in line.bars if each.title.startswith("payment:")]
    assert payment == ["wait", "work"]
    assert [each.name for each in line.lanes] == ["order", "payment", "inventory", "shipping"]
    assert all(line.begin <= each.x and each.x + each.width <= line.end + 3 for each in line.bars)


def test_undoing_and_people_have_their_places() -> None:
    """An undo is drawn as one; a person's answer in a lane for people."""
    refused = Told(RESERVED, AUTHORIZED, ApprovalRefused(note="no"), StockReleased(order_id=ID), needs_approval=True)
    line = lay_out(FULFILLMENT, refused.history, refused.now)
    assert "people" in [each.name for each in line.lanes]
    assert "undo" in [each.kind for each in line.bars if each.title.startswith("inventory:")]
    granted = Told(RESERVED, AUTHORIZED, ApprovalGranted(), needs_approval=True)
    shown = lay_out(FULFILLMENT, granted.history, granted.now)
    assert [each.kind for each in shown.bars if each.title.startswith("approval:")] == ["work"]
