"""An asking that has not left is no asking: while a worker cannot publish, nobody's patience runs out."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from order_service.fulfillment.saga import Progress
from shared.contracts import StockReserved
from tests.component.orders import ALICE, NOON, Shop, authorized_and_reserved, booked, wanted


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    shop = Shop(database_url)
    yield shop
    shop.close()


def step(shop: Shop, order: str, name: str) -> Progress:
    return shop.find(order).saga.steps[name]


def blocked(shop: Shop, minutes: int) -> None:
    """The broker takes nothing for so long; the timers go on."""
    for _ in range(minutes * 6):
        shop.clock.move(seconds=10)
        assert shop.tick(publishing=False) == []


def test_a_broker_that_blocks_longer_than_the_patience_ends_no_order(shop: Shop) -> None:
    """After an alarm of an hour no attempt was counted, no order was turned back, and no history was written."""
    orders = shop.placed(*(wanted(f"order {number}") for number in range(5)))
    blocked(shop, minutes=60)
    for order in orders:
        found = shop.find(order)
        assert (found.status, found.needs_attention, found.version) == ("pending", False, 1)
        assert {step(shop, order, name).attempts for name in ("payment", "inventory")} == {1}


def test_patience_counts_from_when_it_left(shop: Shop) -> None:
    """Whoever is asked late has as long to answer as anybody, and is asked again after that."""
    (order,) = shop.placed()
    blocked(shop, minutes=10)
    shop.publish()
    left = shop.clock.moment
    while not (said := shop.tick(publishing=False)):
        shop.clock.move(seconds=1)
    assert timedelta(seconds=30) <= shop.clock.moment - left <= timedelta(seconds=45)
    assert sorted(each.type for each in said) == ["payment.requested", "stock.requested"]
    assert step(shop, order, "payment").attempts == 2


def test_a_worker_that_can_hear_and_not_speak_turns_nothing_back(shop: Shop) -> None:
    """A fact that is heard after the deadline of another step, whose asking is still here, moves only its own step."""
    (order,) = shop.placed()
    shop.clock.move(hours=1)
    shop.deliver(StockReserved(order_id=order))
    assert step(shop, order, "inventory").status == "done"
    assert (step(shop, order, "payment").status, step(shop, order, "payment").attempts) == ("requested", 1)
    shop.deliver(*authorized_and_reserved(order))
    shop.clock.move(hours=1)
    shop.deliver(*booked(order))
    blocked(shop, minutes=60)
    assert step(shop, order, "capture").attempts == 1
    assert shop.find(order).status == "confirmed"


def test_an_undo_that_has_not_left_is_not_repeated(shop: Shop) -> None:
    """What is given back is asked for once, until the broker has it; the order is not parked meanwhile."""
    (order,) = shop.placed()
    shop.publish()
    shop.commands.cancel(order, ALICE)
    blocked(shop, minutes=60)
    assert {step(shop, order, name).attempts for name in ("payment", "inventory")} == {1}
    assert not shop.find(order).needs_attention


def test_only_what_has_not_left_is_put_off(shop: Shop) -> None:
    """Of two askings of one order, the one that is with its participant loses patience, the other does not."""
    (order,) = shop.placed()
    with shop.database.transaction() as connection:
        connection.exec_driver_sql(
            f"UPDATE outbox SET published_at = due_at WHERE type = 'stock.requested' AND correlation_id = '{order}'"
        )
    shop.clock.move(seconds=30)
    assert [each.type for each in shop.tick(publishing=False)] == ["stock.requested"]
    assert (step(shop, order, "payment").attempts, step(shop, order, "inventory").attempts) == (1, 2)


def test_people_are_not_messages(shop: Shop) -> None:
    """An approval that nobody gave expires, whatever the broker does; and then its undos wait for it."""
    (order,) = shop.placed(wanted(LINEN_SOFA=1))
    shop.deliver(*authorized_and_reserved(order, shop.find(order).total))
    assert shop.find(order).status == "awaiting_approval"
    shop.clock.move(days=2)
    assert len(shop.tick(publishing=False)) == 2
    assert shop.find(order).reason == "approval_expired"
    blocked(shop, minutes=10)
    assert NOON + timedelta(days=2) < shop.clock.moment


def test_the_outbox_is_asked_only_when_time_seems_over(shop: Shop) -> None:
    """Whoever answers in time costs no question more than before."""
    (order,) = shop.placed()
    with shop.statements() as sent:
        shop.deliver(*authorized_and_reserved(order))
    assert not [each for each in sent if "published_at IS NULL" in each]
