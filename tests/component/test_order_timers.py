"""Time: what is overdue is asked again, by one worker, from an index that normal progress does not touch."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier

import pytest

from order_service.sagas import NEVER, Sagas
from tests.component.orders import NOON, Shop, authorized_and_reserved, booked, captured, issued_and_dispatched, wanted


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    shop = Shop(database_url)
    yield shop
    shop.close()


@pytest.fixture
def postgresql_shop(postgres_url: str) -> Iterator[Shop]:
    shop = Shop(postgres_url)
    yield shop
    shop.close()


def wake_at(shop: Shop) -> datetime | None:
    """When the timers look at the only order."""
    with shop.database.reading() as connection:
        (held,) = Sagas.load(connection, [shop_order(shop)], shop.flows, NOON).held.values()
    return held.wake_at


def shop_order(shop: Shop) -> str:
    ((order,),) = shop.rows("SELECT CAST(id AS VARCHAR(36)) FROM orders")
    return str(order)


def test_nothing_happens_before_its_time(shop: Shop) -> None:
    """A tick before the deadline says nothing and leaves no trace."""
    (order,) = shop.placed()
    shop.clock.move(seconds=29)
    assert shop.tick() == []
    assert len(shop.history(order)) == 1


def test_silence_is_asked_again(shop: Shop) -> None:
    """When nobody answers in time, all that is owed is asked again, and the history says so."""
    (order,) = shop.placed()
    shop.clock.move(seconds=30)
    assert sorted(each.type for each in shop.tick()) == ["payment.requested", "stock.requested"]
    entry = shop.history(order)[-1]
    assert (entry["event"], entry["actor"], len(entry["did"])) == ("tick", "clock", 2)
    assert shop.tick() == []


def test_silence_ends_the_order_when_its_patience_does(shop: Shop) -> None:
    """After the last attempt the order turns back, and its undoing is asked for until it is done."""
    (order,) = shop.placed()
    for _ in range(4):
        shop.clock.move(minutes=5)
        shop.tick()
    record = shop.find(order)
    assert (record.status, record.reason) == ("cancelling", "timed_out")
    for _ in range(5):
        shop.clock.move(minutes=20)
        assert sorted(each.type for each in shop.tick()) == ["payment.reversal_requested", "stock.release_requested"]
    assert shop.find(order).needs_attention


def test_what_matters_of_an_order_is_in_the_log(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """An order that turns back and a step that needs a person are a line each, once, with the order's id as a field."""
    (order,) = shop.placed()
    with caplog.at_level(logging.INFO, "fulfillment.orders"):
        for _ in range(7):
            shop.clock.move(minutes=20)
            shop.tick()
    lines = [(each.levelname, each.getMessage(), getattr(each, "order_id", None)) for each in caplog.records]
    assert lines == [
        ("INFO", "the order turns back: timed_out (no answer from payment in time)", order),
        ("WARNING", "payment needs a person: no answer to 3 askings", order),
        ("WARNING", "inventory needs a person: no answer to 3 askings", order),
    ]


def test_progress_leaves_the_timer_alone(shop: Shop) -> None:
    """The indexed moment is set when the order is placed and cleared when it is at rest, and not moved in between."""
    (order,) = shop.placed()
    assert wake_at(shop) == NOON + timedelta(seconds=30)
    for facts in (authorized_and_reserved, booked, captured):
        shop.clock.move(seconds=1)
        shop.deliver(*facts(order))
        assert wake_at(shop) == NOON + timedelta(seconds=30)
    shop.deliver(*issued_and_dispatched(order))
    assert wake_at(shop) is None


def test_a_moment_that_came_too_early_is_corrected(shop: Shop) -> None:
    """When nothing is due at the moment that was kept, the true deadline takes its place, and nothing else changes."""
    (order,) = shop.placed()
    shop.clock.move(seconds=1)
    shop.deliver(*authorized_and_reserved(order))
    before = shop.find(order)
    shop.clock.move(seconds=29)
    assert shop.tick() == []
    assert shop.find(order) == before
    assert wake_at(shop) == before.saga.deadline == NOON + timedelta(seconds=61)


def test_an_order_at_rest_is_never_looked_at(shop: Shop) -> None:
    """A fulfilled order is in nobody's way, whatever the time."""
    (order,) = shop.placed()
    shop.fulfill(order)
    shop.clock.move(days=1000)
    assert shop.tick() == []
    assert shop.rows("SELECT COUNT(*) FROM sagas WHERE wake_at IS NOT NULL") == [(0,)]
    assert shop.clock.moment < NEVER


def test_the_longest_overdue_come_first(shop: Shop) -> None:
    """A tick moves as many orders as it may, and the next one goes on."""
    orders = []
    for number in range(5):
        orders += shop.placed(wanted(f"order {number}"))
        shop.clock.move(seconds=1)
    shop.clock.move(minutes=1)
    assert {each.order_id for each in shop.tick(most=2)} == set(orders[:2])
    assert {each.order_id for each in shop.tick(most=2)} == set(orders[2:4])
    assert {each.order_id for each in shop.tick(most=2)} == set(orders[4:])


def test_a_tick_costs_few_statements(shop: Shop) -> None:
    """Load, what has not left, sagas, orders, history and outbox, and perhaps the clock: however many are due."""
    shop.placed(*(wanted(f"order {number}") for number in range(100)))
    shop.clock.move(seconds=30)
    shop.publish()
    with shop.statements() as sent:
        assert len(shop.tick(publishing=False)) == 200
    assert len(sent) <= 7


def test_several_workers_never_act_twice(postgresql_shop: Shop) -> None:
    """Four workers that find the same hundred orders due ask each of them again exactly once."""
    shop, workers = postgresql_shop, 4
    orders = shop.placed(*(wanted(f"order {number}") for number in range(100)))
    shop.clock.move(seconds=30)
    shop.publish()
    start = Barrier(workers)

    def work(_: int) -> list[str]:
        consumer = shop.another(shop.consumer.handling)
        start.wait()
        said: list[str] = []
        while some := consumer.advance(7):
            said += [each.correlation_id for each in some]
        return said

    with ThreadPoolExecutor(workers) as pool:
        said = sorted(order for part in pool.map(work, range(workers)) for order in part)
    shop.tick()  # what one worker had in hand while another looked is due no more
    assert said == sorted(orders * 2)
    assert all(len(shop.history(order)) == 2 for order in orders)


def test_a_tick_passes_over_what_is_in_hand(postgresql_shop: Shop) -> None:
    """An order that another transaction holds is not waited for; it is late, and not forgotten."""
    shop = postgresql_shop
    busy, idle = shop.placed(wanted("busy"), wanted("idle"))
    shop.clock.move(seconds=30)
    shop.publish()
    with shop.database.transaction() as connection:
        Sagas.load(connection, [busy], shop.flows, NOON)
        assert {each.order_id for each in shop.tick(publishing=False)} == {idle}
    assert {each.order_id for each in shop.tick()} == {busy}


def test_a_crash_makes_a_timer_late_and_no_more(shop: Shop) -> None:
    """A transaction that dies after deciding leaves the order as due as it was."""
    (order,) = shop.placed()
    shop.clock.move(seconds=30)
    shop.publish()
    with shop.database.engine.connect() as connection:
        assert len(shop.due(connection, shop.clock.moment, 10)) == 2
        connection.rollback()
    assert len(shop.tick()) == 2
    assert len(shop.history(order)) == 2


def test_who_answers_again_is_asked_soon_by_those_who_wait(shop: Shop) -> None:
    """After an hour of silence thirty captures are parked, asked again every 15 minutes; one answer, and twenty others
    are asked within a tick; one of their answers, and the rest is, too."""
    orders = shop.placed(*(wanted(f"order {number}") for number in range(32)))
    for facts in (authorized_and_reserved, booked):
        shop.deliver(*(fact for order in orders for fact in facts(order)))
    for _ in range(60):
        shop.clock.move(minutes=1)
        shop.tick()
    assert all(shop.find(order).needs_attention for order in orders)
    while not shop.tick():
        shop.clock.move(minutes=1)
    shop.clock.move(minutes=5)
    shop.deliver(*captured(orders[0]))
    woken = [each for each in shop.tick() if each.type == "capture.requested"]
    assert len({each.order_id for each in woken}) == 20
    assert shop.tick() == []
    shop.deliver(*captured(woken[0].order_id))
    shop.tick()
    left = [order for order in orders[1:] if shop.history(order)[-1]["event"] != "deadline_moved"]
    assert left == [woken[0].order_id]


def test_nobody_is_woken_by_an_answer_in_time(shop: Shop) -> None:
    """A first asking that is answered says nothing about those who wait."""
    (waiting,) = shop.placed(wanted("waiting"))
    for facts in (authorized_and_reserved, booked):
        shop.deliver(*facts(waiting))
    for _ in range(60):
        shop.clock.move(minutes=1)
        shop.tick()
    (fresh,) = shop.placed(wanted("fresh"))
    shop.deliver(*authorized_and_reserved(fresh))
    assert shop.tick() == []
    assert shop.history(waiting)[-1]["event"] == "tick"
