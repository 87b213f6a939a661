"""Where an order stands and why, in plain words: every state is explained, and what is not known is said."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from order_service.explanation import REASONS, STANDING, Account, DeadLetter, Known, Possible, explain
from order_service.fulfillment.decide import decide
from order_service.fulfillment.differences import Difference, Healing, Meaning
from order_service.fulfillment.inputs import DeadlineMoved, RetryRequested, SettlementRequested
from order_service.fulfillment.saga import ASKED, Heard, OrderStatus, Reason, Saga
from order_service.fulfillment.workflow import FULFILLMENT
from order_service.participants import Saying
from order_service.view import Order
from tests.unit.order import scenario as told

NOON = told.NOON
ONCE = FULFILLMENT.paced({}, {step.name: 1 for step in FULFILLMENT.steps}, FULFILLMENT.slowest)
READY = (told.placed, told.authorized, told.reserved)
CAPTURING = (*READY, told.booked)
PAID = (*CAPTURING, told.captured)


def order_of(saga: Saga, version: int = 1) -> Order:
    return Order(
        id=told.ID,
        customer_id="alice",
        lines=[],
        total=saga.facts["amount"],
        currency="EUR",
        ship_to={},
        placed_at=NOON,
        status=saga.status(FULFILLMENT),
        reason=saga.reason,
        reason_detail=saga.reason_detail,
        needs_attention=saga.needs_attention(FULFILLMENT),
        saga=saga,
        workflow_version=1,
        version=version,
        updated_at=NOON,
    )


def known(*heard: Heard, wait: float = 0, every: float = 0, **facts: Any) -> Known:
    """What is known of an order that has heard these, so many seconds after each other, `wait` seconds later."""
    now, history = NOON, list[Mapping[str, Any]]()
    saga = Saga.start(FULFILLMENT, {**told.FACTS, **facts})
    for event in heard:
        decision = decide(FULFILLMENT, saga, event, now)
        saga = decision.saga
        for entry in decision.history:
            fields = {name: getattr(entry, name) for name in entry.__struct_fields__}
            history.append({**fields, "seq": len(history) + 1, "at": now, "actor": "somebody"})
        now += timedelta(seconds=every)
    order = order_of(saga, len(history))
    return Known(order=order, flow=FULFILLMENT, history=history, now=now + timedelta(seconds=wait), internals=True)


def silent(*heard: Heard, times: int) -> Known:
    """The same when then nobody has answered, so many deadlines long."""
    facts = known(*heard)
    saga, history = facts.order.saga, list(facts.history)
    for _ in range(times):
        assert saga.deadline
        decision = decide(FULFILLMENT, saga, told.tick, saga.deadline)
        saga = decision.saga
    return replace(facts, order=order_of(saga, len(history)))


def texts(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    return [each["text"] for each in parts]


def unless(who: str, what: str) -> str:
    return f"Unless {who} has answered by then, {what}."


def when(coming: str) -> str:
    then = f"then {coming} follow, and " if coming else ""
    return f"When there are good answers to all of that, {then}the order is fulfilled."


CAPTURE = "payment is asked to capture the money"
GOES_ON = "asking goes on, at least every 900 s"
UNDONE = "When all that was done is undone, the order is cancelled."

TABLE: dict[str, tuple[Known, list[str], list[str]]] = {
    "placed": (
        known(told.placed),
        [
            "payment is asked to authorize the money (1 of 3 times).",
            "inventory is asked to reserve the goods (1 of 3 times).",
        ],
        [
            unless("payment", "payment is asked to authorize the money again, for the 2nd time of 3"),
            unless("inventory", "inventory is asked to reserve the goods again, for the 2nd time of 3"),
            when("shipping, capture, issue and dispatch"),
        ],
    ),
    "one of two has answered": (
        known(told.placed, told.reserved),
        ["payment is asked to authorize the money (1 of 3 times)."],
        [
            unless("payment", "payment is asked to authorize the money again, for the 2nd time of 3"),
            when("shipping, capture, issue and dispatch"),
        ],
    ),
    "it waits for approval": (
        known(*READY, needs_approval=True),
        ["a person is asked to approve."],
        [
            unless("an operator", "the order turns back"),
            when("shipping, capture, issue and dispatch"),
        ],
    ),
    "approved": (
        known(*READY, told.granted, needs_approval=True),
        ["shipping is asked to book a parcel (1 of 3 times)."],
        [
            unless("shipping", "shipping is asked to book a parcel again, for the 2nd time of 3"),
            when("capture, issue and dispatch"),
        ],
    ),
    "confirmed": (
        known(*READY),
        ["shipping is asked to book a parcel (1 of 3 times)."],
        [
            unless("shipping", "shipping is asked to book a parcel again, for the 2nd time of 3"),
            when("capture, issue and dispatch"),
        ],
    ),
    "capture is asked": (
        known(*CAPTURING),
        ["payment is asked to capture the money (1 of 5 times)."],
        [
            unless("payment", "payment is asked to capture the money again, for the 2nd time of 5"),
            when("issue and dispatch"),
        ],
    ),
    "paid": (
        known(*PAID),
        [
            "inventory is asked to hand the goods over (1 of 10 times).",
            "shipping is asked to send the parcel (1 of 10 times).",
        ],
        [
            unless("inventory", "inventory is asked to hand the goods over again, for the 2nd time of 10"),
            unless("shipping", "shipping is asked to send the parcel again, for the 2nd time of 10"),
            when(""),
        ],
    ),
    "one thing is left": (
        known(*PAID, told.issued),
        ["shipping is asked to send the parcel (1 of 10 times)."],
        [
            unless("shipping", "shipping is asked to send the parcel again, for the 2nd time of 10"),
            when(""),
        ],
    ),
    "fulfilled": (
        known(*PAID, told.issued, told.dispatched),
        [],
        [],
    ),
    "declined, and the goods are not back yet": (
        known(told.placed, told.declined),
        ["inventory is asked to release the goods (1 of 3 times)."],
        [
            unless("inventory", "inventory is asked to release the goods again, for the 2nd time of 3"),
            UNDONE,
        ],
    ),
    "cancelled by the customer while all is asked": (
        known(told.placed, told.cancelled),
        [
            "payment is asked to give the money back (1 of 3 times).",
            "inventory is asked to release the goods (1 of 3 times).",
        ],
        [
            unless("payment", "payment is asked to give the money back again, for the 2nd time of 3"),
            unless("inventory", "inventory is asked to release the goods again, for the 2nd time of 3"),
            UNDONE,
        ],
    ),
    "cancelled": (
        known(told.placed, told.declined, told.released),
        [],
        [],
    ),
    "a parcel is cancelled": (
        known(*READY, told.cancelled, told.voided, told.released),
        ["shipping is asked to cancel the parcel (1 of 3 times)."],
        [
            unless("shipping", "shipping is asked to cancel the parcel again, for the 2nd time of 3"),
            UNDONE,
        ],
    ),
    "an undo refused for good": (
        known(*READY, told.cancelled, told.released, told.unbooked, told.void_refused),
        ["payment is asked to give the money back (1 of 3 times)."],
        [
            "Nothing more happens to payment by itself: a person must see to it.",
            UNDONE,
        ],
    ),
    "asked for the last time": (
        silent(*READY[:2], times=2),
        ["inventory is asked to reserve the goods (3 of 3 times)."],
        [
            unless("inventory", "the order turns back"),
            when("shipping, capture, issue and dispatch"),
        ],
    ),
    "silent until it turned back": (
        silent(*READY[:2], times=3),
        [
            "payment is asked to give the money back (1 of 3 times).",
            "inventory is asked to release the goods (1 of 3 times).",
        ],
        [
            unless("payment", "payment is asked to give the money back again, for the 2nd time of 3"),
            unless("inventory", "inventory is asked to release the goods again, for the 2nd time of 3"),
            UNDONE,
        ],
    ),
    "parked before its time is over": (
        silent(*CAPTURING, times=4),
        ["payment is asked to capture the money (5 of 5 times)."],
        [
            unless("payment", f"{CAPTURE} again, and the order needs a person from then on; {GOES_ON}"),
            when("issue and dispatch"),
        ],
    ),
    "parked": (
        silent(*CAPTURING, times=6),
        ["payment is asked to capture the money (7 times, and patience was for 5)."],
        [
            unless("payment", f"{CAPTURE} again; {GOES_ON}, until there is an answer"),
            when("issue and dispatch"),
        ],
    ),
    "an approval without a deadline": (
        known(*READY, DeadlineMoved(step="approval", deadline=None), needs_approval=True),
        ["a person is asked to approve."],
        [
            "Nothing happens to approval by itself: it waits without a deadline.",
            when("shipping, capture, issue and dispatch"),
        ],
    ),
    "succeeded after a refusal": (
        known(told.placed, told.declined, told.released, told.authorized),
        ["payment is asked to give the money back (1 of 3 times)."],
        [unless("payment", "payment is asked to give the money back again, for the 2nd time of 3")],
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_each_state_is_told(name: str) -> None:
    """Whom it waits for, and what comes next by itself."""
    facts, waits, coming = TABLE[name]
    shown = explain(facts)
    assert texts(shown["waits_for"]) == waits
    assert texts(shown["next"]) == coming


@pytest.mark.slow
def test_every_state_has_an_explanation() -> None:
    """Each step that is asked is waited for, each deadline is announced, and no other state is without a word."""
    events: list[Heard] = [
        *told.FACTS_HEARD, *told.LIES.values(), told.placed, told.cancelled, told.granted, told.refused,
        told.reversed_by_operator, told.tick,
        *(kind(step=step.name) for kind in (RetryRequested, SettlementRequested) for step in ONCE.steps),
        *(DeadlineMoved(step=step.name, deadline=None) for step in ONCE.steps),
    ]  # fmt: skip
    start = Saga.start(ONCE, {**told.FACTS, "needs_approval": True})
    reached, seen = [start], {key_of(start)}
    for saga in reached:  # which grows meanwhile
        check(saga)
        for event in events:
            now = saga.deadline if event is told.tick and saga.deadline else NOON
            after = decide(ONCE, saga, event, now).saga
            if key_of(after) not in seen:
                seen.add(key_of(after))
                reached.append(after)
    assert {saga.status(ONCE) for saga in reached} == set(OrderStatus)
    assert len(reached) > 500


def key_of(saga: Saga) -> Any:
    steps = [
        (step.status, min(step.attempts, 2), step.deadline is None, step.settled_at is None, step.problem is not None)
        for step in saga.steps.values()
    ]
    return tuple(steps), saga.backward, saga.reason


def check(saga: Saga) -> None:
    shown = explain(replace(known(told.placed), order=order_of(saga), flow=ONCE))
    asked = {name: step for name, step in saga.steps.items() if step.status in ASKED}
    assert {each["step"] for each in shown["waits_for"]} == asked.keys()
    deadlines: list[datetime] = sorted(step.deadline for step in asked.values() if step.deadline)
    assert [each["at"] for each in shown["next"] if each["at"]] == deadlines
    status = saga.status(FULFILLMENT)
    assert shown["summary"].startswith(STANDING[status])
    assert shown["next"] or status.final or not asked
    assert not asked or shown["next"]
    words = [shown["summary"], *texts(shown["waits_for"]), *texts(shown["next"]), *shown["findings"]]
    assert all(each.endswith(".") and "None" not in each and "  " not in each for each in words), words


def test_every_status_and_reason_has_its_words() -> None:
    """A new one is explained in a sentence of its own."""
    assert STANDING.keys() == set(OrderStatus)
    assert REASONS.keys() == set(Reason)


def test_why_it_turned_back_and_what_became_of_the_money() -> None:
    """The reason, its detail and the amounts are in the summary."""
    shown = explain(known(*READY, told.cancelled, told.voided, told.released, told.unbooked))
    assert shown["summary"] == (
        "The order is cancelled, and nothing is owed any more. It turned back because the customer asked for that "
        "(“changed my mind”). Money: 89.90 EUR authorized and 89.90 EUR voided."
    )


def test_since_when_it_waits() -> None:
    """From the first asking for what is asked now: undoing is another asking."""
    shown = explain(known(told.placed, told.reserved, told.cancelled, told.tick, every=10))
    assert {each["step"]: each["since"] - NOON for each in shown["waits_for"]} == {
        "payment": timedelta(seconds=20),
        "inventory": timedelta(seconds=20),
    }


PAYMENT_REQUESTED = "payment is asked to authorize the money (1 of 3 times)."


@pytest.mark.parametrize(
    ("status", "wait", "said"),
    [
        ("unknown", 60, " It knows nothing of the order: its worker has not taken the message."),
        ("unknown", 1, ""),
        ("authorizing", 60, " It says authorizing."),
        ("authorizing", 1, " It says authorizing."),
        ("authorized", 60, " It says authorized: its answer is on its way, or RabbitMQ or its worker is away."),
        ("declined", 60, " It says declined: its answer is on its way, or RabbitMQ or its worker is away."),
        ("authorized", 1, " It says authorized."),
        (None, 60, ""),
    ],
)
def test_what_the_service_says_is_told(status: str | None, wait: float, said: str) -> None:
    """And what follows from it, unless the asking is so young that an answer may be under way."""
    account = Account(service="payment", saying=Saying(service="payment", status=status))
    shown = explain(replace(known(told.placed, told.reserved, wait=wait), accounts=[account]))
    assert texts(shown["waits_for"]) == [PAYMENT_REQUESTED + said]


def test_a_message_that_has_not_left_is_told() -> None:
    """At first only that; after a while, who may be to blame."""
    facts = replace(known(told.placed, told.reserved), unsent={"payment.requested"})
    assert texts(explain(facts)["waits_for"]) == [f"{PAYMENT_REQUESTED} The message has not left yet."]
    later = replace(facts, now=facts.now + timedelta(minutes=1))
    away = ": RabbitMQ is away, or no worker of the order service runs."
    assert texts(explain(later)["waits_for"]) == [f"{PAYMENT_REQUESTED} The message has not left yet{away}"]


def test_who_could_not_be_asked_is_named() -> None:
    """And nothing is said in his place."""
    silent = Account(service="payment", saying=Saying(service="payment", status=None, error="it does not answer"))
    facts = replace(known(told.placed, told.reserved), accounts=[replace(silent, error="it does not answer")])
    shown = explain(facts)
    assert shown["not_asked"] == ["payment: it does not answer"]
    assert texts(shown["waits_for"]) == [PAYMENT_REQUESTED]


def test_dead_letters_and_differences_are_findings_and_letters_have_a_command() -> None:
    """What a service could not work is named with the command that has it worked again."""
    letter = DeadLetter(service="payment", message_id="0192", type="payment.requested", reason="failed: KeyError")
    difference = Difference(
        service="payment", step="payment", meaning=Meaning.TOLD_OTHERWISE, healing=Healing.PERSON,
        detail="payment is done, but payment says captured",
    )  # fmt: skip
    differs = Saying(service="payment", status="captured", differences=[difference])
    account = Account(service="payment", saying=differs, letters=[letter])
    cancel = Possible(text="Cancel the order.", command=f"fulfillment cancel {told.ID}")
    shown = explain(replace(known(*READY), accounts=[account], possible=[cancel]))
    assert shown["findings"] == [
        "The payment service could not work payment.requested: failed: KeyError.",
        "What is known differs: payment is done, but payment says captured.",
    ]
    assert [each["command"] for each in shown["possible"]] == [
        f"fulfillment cancel {told.ID}",
        "fulfillment dead-letters replay 0192 --service payment",
    ]


def test_a_deadline_that_passed_without_a_tick_is_a_finding_for_operators() -> None:
    """Nobody keeps time, so nothing of what is announced will come; customers are not told of workers."""
    late = known(told.placed, wait=60)
    assert len(explain(late)["findings"]) == 2
    assert "no worker of the order service runs" in explain(late)["findings"][0]
    assert explain(replace(late, internals=False))["findings"] == []
    assert explain(replace(late, now=NOON + timedelta(seconds=40)))["findings"] == []


def test_a_step_that_needs_a_person_says_why() -> None:
    """With the words of whoever refused."""
    shown = explain(known(*READY, told.cancelled, told.released, told.void_refused))
    assert shown["findings"] == ["payment needs a person: refused: the authorization expired."]
    assert "A person must look at it." in shown["summary"]
