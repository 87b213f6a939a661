"""What people tell an order: done in one transaction or refused with nothing written."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from threading import Barrier

import pytest

from order_service.commands import Conflict, NotFound
from order_service.fulfillment.saga import StepStatus
from order_service.view import Order
from shared.contracts import CaptureRequested, PaymentReversed, ShipmentCancelled, StockReleased
from tests.component.bench import order_id
from tests.component.orders import (
    ALICE,
    BOB,
    NOON,
    OPAL,
    Shop,
    authorized_and_reserved,
    booked,
    captured,
    wanted,
)

DEAR = wanted("dear", LINEN_SOFA=1)


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    shop = Shop(database_url)
    yield shop
    shop.close()


def refused(shop: Shop, order: str, tell: Callable[[], Order]) -> Conflict:
    """The conflict, after seeing that nothing at all was written."""
    before, waiting = shop.find(order), shop.waiting()
    with pytest.raises(Conflict) as conflict:
        tell()
    assert shop.find(order) == before
    assert shop.waiting() == waiting
    assert len(shop.history(order)) == before.version
    return conflict.value


def test_a_customer_cancels(shop: Shop) -> None:
    """The order turns back at once, all that was asked is taken back, and the relay is woken."""
    rung: list[list[str]] = []
    shop.notifier.listen(lambda: rung.append(shop.waiting()), other_processes=False)
    (order,) = shop.placed()
    after = shop.commands.cancel(order, ALICE, "changed my mind")
    assert after == shop.find(order)
    assert (after.status, after.reason, after.reason_detail) == (
        "cancelling",
        "customer_request",
        "changed my mind",
    )
    assert rung == [["payment.requested", "payment.reversal_requested", "stock.release_requested", "stock.requested"]]
    entry = shop.history(order)[-1]
    assert (entry["event"], entry["actor"], entry["detail"]) == (
        "cancellation_requested",
        "customer:alice",
        "changed my mind",
    )


def test_cancelling_twice_is_cancelling_once(shop: Shop) -> None:
    """While it is being cancelled, asking again is answered with the order as it stands, and writes nothing."""
    (order,) = shop.placed()
    once = shop.commands.cancel(order, ALICE)
    assert shop.commands.cancel(order, ALICE) == once
    assert len(shop.history(order)) == 2


def test_an_operator_cancels_in_the_operators_name(shop: Shop) -> None:
    """The reason tells who turned the order back."""
    (order,) = shop.placed()
    assert shop.commands.cancel(order, OPAL).reason == "operator_request"


def test_nobody_cancels_for_another_customer(shop: Shop) -> None:
    """Another customer's order is not there, and neither is one that never was."""
    (order,) = shop.placed()
    for who, what in ((BOB, order), (ALICE, order_id(404)), (OPAL, order_id(404))):
        with pytest.raises(NotFound):
            shop.commands.cancel(what, who)
    assert shop.find(order).version == 1


def test_it_is_too_late_to_cancel(shop: Shop) -> None:
    """Once the money is asked for, once it is fulfilled and once it is cancelled, there is nothing to cancel."""
    capturing, done, cancelled = shop.placed(wanted("1"), wanted("2"), wanted("3"))
    shop.fulfill(done)
    shop.deliver(*authorized_and_reserved(capturing))
    shop.deliver(*booked(capturing))
    shop.commands.cancel(cancelled, ALICE)
    shop.deliver(PaymentReversed(order_id=cancelled, voided=0, refunded=0), StockReleased(order_id=cancelled))
    for order, status in ((capturing, "confirmed"), (done, "fulfilled"), (cancelled, "cancelled")):
        assert refused(shop, order, lambda order=order: shop.commands.cancel(order, ALICE)).status == status


def test_an_operator_approves(shop: Shop) -> None:
    """A dear order waits for a person; the word sends it on its way, and is said once."""
    (order,) = shop.placed(DEAR)
    assert shop.deliver(*authorized_and_reserved(order, shop.find(order).total)) == []
    assert shop.find(order).status == "awaiting_approval"
    assert shop.commands.approve(order, OPAL, "known customer").status == "confirmed"
    assert "shipment.requested" in shop.waiting()
    assert shop.history(order)[-1]["actor"] == "operator:opal"
    for tell in (shop.commands.approve, shop.commands.refuse):
        assert refused(shop, order, lambda tell=tell: tell(order, OPAL)).status == "confirmed"


def test_an_operator_refuses(shop: Shop) -> None:
    """A refusal turns the order back, and the note is what the customer reads."""
    (order,) = shop.placed(DEAR)
    shop.deliver(*authorized_and_reserved(order, shop.find(order).total))
    after = shop.commands.refuse(order, OPAL, "too good to be true")
    assert (after.status, after.reason, after.reason_detail) == (
        "cancelling",
        "approval_refused",
        "too good to be true",
    )


def test_nothing_to_approve_yet(shop: Shop) -> None:
    """Approval is given when it is asked for, not before."""
    (order,) = shop.placed(DEAR)
    assert refused(shop, order, lambda: shop.commands.approve(order, OPAL)).status == "pending"


def test_an_operator_asks_again(shop: Shop) -> None:
    """A retry sends the request now and counts the attempts anew; a step that is done is not asked again."""
    (order,) = shop.placed()
    shop.clock.move(seconds=31)
    shop.tick()
    assert shop.find(order).saga.steps["payment"].attempts == 2
    shop.clock.move(seconds=1)
    after = shop.commands.retry(order, "payment", OPAL)
    assert after.saga.steps["payment"].attempts == 1
    assert after.saga.steps["payment"].deadline == shop.clock.moment + timedelta(seconds=30)
    shop.deliver(*authorized_and_reserved(order, shop.find(order).total))
    refused(shop, order, lambda: shop.commands.retry(order, "payment", OPAL))


def test_an_unknown_step_is_not_found(shop: Shop) -> None:
    """A step that the order's workflow does not have is no conflict; it is not there."""
    (order,) = shop.placed()
    with pytest.raises(NotFound, match="wrapping"):
        shop.commands.retry(order, "wrapping", OPAL)


def test_an_operator_reverses_the_capture(shop: Shop) -> None:
    """Asked and unanswered, it can be withdrawn; answered, or any other step, it cannot."""
    asked, answered = shop.placed(wanted("asked"), wanted("answered"))
    for order in (asked, answered):
        refused(shop, order, lambda order=order: shop.commands.reverse(order, "capture", OPAL))
        shop.deliver(*authorized_and_reserved(order, shop.find(order).total))
        shop.deliver(*booked(order))
    refused(shop, asked, lambda: shop.commands.reverse(asked, "payment", OPAL))
    after = shop.commands.reverse(asked, "capture", OPAL, "fraud")
    assert (after.status, after.reason, after.saga.steps["capture"].status) == (
        "cancelling",
        "operator_request",
        StepStatus.WITHDRAWN,
    )
    shop.deliver(*captured(answered))
    assert refused(shop, answered, lambda: shop.commands.reverse(answered, "capture", OPAL)).status == "paid"


def test_an_operator_settles_a_parked_step(shop: Shop) -> None:
    """A step whose attempts are spent shows that the order needs a person, until one says that it is seen to."""
    (order,) = shop.placed()
    for facts in (authorized_and_reserved, booked, captured):
        shop.deliver(*facts(order))
    refused(shop, order, lambda: shop.commands.settle(order, "issue", OPAL, "too early"))
    while not shop.find(order).needs_attention:
        shop.clock.move(minutes=15)
        shop.tick()
    shop.commands.settle(order, "issue", OPAL, "handed over by hand")
    after = shop.commands.settle(order, "dispatch", OPAL, "the carrier has it")
    assert (after.status, after.needs_attention) == ("fulfilled", False)
    assert shop.history(order)[-1]["detail"] == "the carrier has it"


def test_approval_may_wait_for_ever(shop: Shop) -> None:
    """Only where people are asked can the deadline be revoked; and the order still counts as under way."""
    (order,) = shop.placed(DEAR)
    refused(shop, order, lambda: shop.commands.move_deadline(order, "payment", None, OPAL))
    shop.deliver(*authorized_and_reserved(order, shop.find(order).total))
    after = shop.commands.move_deadline(order, "approval", None, OPAL, "on holiday")
    assert after.saga.steps["approval"].deadline is None
    shop.clock.move(days=400)
    assert shop.tick() == []
    assert shop.find(order) == after
    assert shop.rows("SELECT COUNT(*) FROM sagas WHERE wake_at IS NOT NULL") == [(1,)]
    assert shop.commands.approve(order, OPAL).status == "confirmed"


def test_a_deadline_moves_nearer(shop: Shop) -> None:
    """An earlier deadline is kept, and missed there and then."""
    (order,) = shop.placed(DEAR)
    shop.deliver(*authorized_and_reserved(order, shop.find(order).total))
    shop.commands.move_deadline(order, "approval", NOON + timedelta(minutes=5), OPAL)
    shop.clock.move(minutes=6)
    shop.tick()
    assert shop.find(order).reason == "approval_expired"


def test_cancelling_races_the_last_fact(postgres_url: str) -> None:
    """Whichever comes first wins: the order is cancelled, or its money is asked for, never both."""
    with closing(Shop(postgres_url)) as shop:
        orders = shop.placed(*(wanted(f"order {number}") for number in range(20)))
        shop.deliver(*(fact for order in orders for fact in authorized_and_reserved(order)))
        start = Barrier(2)

        def cancel_all() -> set[str]:
            start.wait()
            lost = set()
            for order in orders:
                try:
                    shop.commands.cancel(order, ALICE)
                except Conflict:
                    lost.add(order)
            return lost

        def ship_all() -> set[str]:
            start.wait()
            said = [message for order in orders for message in shop.deliver(*booked(order))]
            return {each.order_id for each in said if isinstance(each, CaptureRequested)}

        with ThreadPoolExecutor(2) as pool:
            cancelling, shipping = pool.submit(cancel_all), pool.submit(ship_all)
            assert cancelling.result(60) == shipping.result(60)
        for order in orders:
            shop.history(order)
            shop.deliver(ShipmentCancelled(order_id=order))
