"""What follows from what the participants say, and what differs from what the order service knows."""

from typing import Any

import pytest

from order_service.fulfillment.differences import Meaning
from order_service.fulfillment.parts import NOTHING
from order_service.fulfillment.saga import OrderStatus
from order_service.participants import Saying, compare, rebuild
from tests.unit.order import scenario as told
from tests.unit.order.scenario import given


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


def test_while_an_order_is_fresh_an_answer_may_be_on_its_way() -> None:
    """What asking again would heal is no difference then; a contradiction is one at once."""
    asked, done = given(told.placed), given(told.placed, told.reserved)
    for order, fresh, expected in ((asked, True, []), (asked, False, [Meaning.ANSWER_LOST])):
        compared = compare(order.flow, order.saga, says(NOTHING, "reserved", NOTHING)[1:2], fresh=fresh)
        assert [each.meaning for saying in compared for each in saying.differences] == expected
    (compared_done,) = compare(done.flow, done.saga, says(NOTHING, "released", NOTHING)[1:2], fresh=True)
    assert [each.meaning for each in compared_done.differences] == [Meaning.UNDONE_MEANWHILE]


def test_a_participant_that_does_not_answer_differs_in_nothing() -> None:
    """Nobody is blamed for what cannot be asked."""
    order = given(*told.TO_THE_END)
    assert [each.differences for each in compare(order.flow, order.saga, says(None, None, None))] == [[], [], []]
