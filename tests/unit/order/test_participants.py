"""What follows from what the participants say, and what differs from what the order service knows."""

from typing import Any

import pytest

from order_service.fulfillment.saga import OrderStatus, StepStatus
from order_service.fulfillment.workflow import newest
from order_service.participants import EXPECTED, STEPS, Saying, compare, rebuild
from payment_service.domain import Status as PaymentStatus
from shipping_service.domain import Status as ShipmentStatus

NOTHING = "unknown"


def says(payment: str | None, inventory: str | None, shipping: str | None, /, **documents: Any) -> list[Saying]:
    said = {"payment": payment, "inventory": inventory, "shipping": shipping}
    return [Saying(service=name, status=status, document=documents.get(name)) for name, status in said.items()]


@pytest.mark.parametrize(
    ("payment", "inventory", "shipping", "needs_approval", "status"),
    [
        (NOTHING, NOTHING, NOTHING, False, "pending"),
        ("authorizing", "reserved", NOTHING, False, "pending"),
        ("authorized", NOTHING, NOTHING, False, "pending"),
        ("authorized", "reserved", NOTHING, False, "confirmed"),
        ("authorized", "reserved", NOTHING, True, "awaiting_approval"),
        ("authorized", "reserved", "booking", True, "confirmed"),
        ("capturing", "reserved", "booked", False, "confirmed"),
        ("captured", "reserved", "booked", False, "paid"),
        ("captured", "issued", "dispatching", False, "paid"),
        ("captured", "issued", "dispatched", False, "fulfilled"),
        ("declined", "reserved", NOTHING, False, "cancelling"),
        ("declined", "released", NOTHING, False, "cancelled"),
        ("authorized", "unavailable", NOTHING, False, "cancelling"),
        ("voided", "unavailable", NOTHING, False, "cancelled"),
        ("authorized", "reserved", "refused", False, "cancelling"),
        ("refunded", "released", "cancelled", False, "cancelled"),
    ],
)
def test_the_status_follows_from_what_they_say(
    payment: str, inventory: str, shipping: str, needs_approval: bool, status: str
) -> None:
    """Each row: what the three say, whether a person must agree, and the order's status."""
    assert rebuild(says(payment, inventory, shipping), needs_approval) is OrderStatus(status)


def test_nothing_follows_while_one_of_them_says_nothing() -> None:
    """A participant that cannot be asked is no reason to guess."""
    assert rebuild(says("captured", "issued", None), False) is None


def order(**statuses: str) -> dict[str, Any]:
    return {
        "steps": [{"name": step.name, "status": statuses.get(step.name, "waiting")} for step in newest().steps],
        "payment": {"authorized": 0, "captured": 0, "voided": 0, "refunded": 0},
        "carrier": "globex-freight",
        "tracking_number": "GX1",
    }


def differences(shown: dict[str, Any], sayings: list[Saying]) -> list[str]:
    return [each for saying in compare(shown, sayings) for each in saying.differences]


def test_what_agrees_differs_in_nothing() -> None:
    """Before anything was asked, they know nothing; in the end, all is told alike."""
    assert differences(order(), says(NOTHING, NOTHING, NOTHING)) == []
    done = order(**{step.name: "done" for step in newest().steps})
    amounts = done["payment"] | {"authorized": 5, "captured": 5}
    documents = {"payment": amounts, "shipping": {"carrier": "globex-freight", "tracking_number": "GX1"}}
    assert differences({**done, "payment": amounts}, says("captured", "issued", "dispatched", **documents)) == []


@pytest.mark.parametrize(
    ("statuses", "sayings", "told"),
    [
        ({"inventory": "done"}, says(NOTHING, "released", NOTHING), "inventory is done, but inventory says released"),
        (
            {"issue": "done", "inventory": "done"},
            says(NOTHING, "reserved", NOTHING),
            "issue is done, but inventory says reserved",
        ),
        (
            {"inventory": "compensated"},
            says(NOTHING, "issued", NOTHING),
            "inventory is compensated, but inventory says issued",
        ),
        ({"shipping": "failed"}, says(NOTHING, NOTHING, "booked"), "shipping is failed, but shipping says booked"),
        (
            {"payment": "done"},
            says("authorized", NOTHING, NOTHING, payment={"authorized": 7, "captured": 0, "voided": 0, "refunded": 0}),
            "authorized: 0, but payment says 7",
        ),
        (
            {"shipping": "done"},
            says(NOTHING, NOTHING, "booked", shipping={"carrier": "northwind-parcels", "tracking_number": "GX1"}),
            "carrier: globex-freight, but shipping says northwind-parcels",
        ),
    ],
)
def test_a_contradiction_is_named(statuses: dict[str, str], sayings: list[Saying], told: str) -> None:
    """Who says what, and what we know instead."""
    assert differences(order(**statuses), sayings) == [told]


@pytest.mark.parametrize("asked", ["requested", "compensating"])
def test_an_answer_on_its_way_is_no_difference(asked: str) -> None:
    """While a step is asked, its service may be before or after the answer."""
    for said in ("reserved", "released", NOTHING):
        assert differences(order(inventory=asked), says(NOTHING, said, NOTHING)) == []


def test_every_word_is_one_that_is_used() -> None:
    """Steps are those of the workflow, statuses of steps and of participants exist."""
    assert {name for names in STEPS.values() for name in names} == set(newest().named) - {"approval"}
    assert EXPECTED.keys() == set(newest().named) - {"approval"}
    said = {"payment": {*PaymentStatus}, "shipping": {*ShipmentStatus}}
    for service, statuses in said.items():
        for step in STEPS[service]:
            for mine, expected in EXPECTED[step].items():
                assert StepStatus(mine)
                assert expected - {NOTHING} <= statuses
