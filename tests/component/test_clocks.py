"""Clocks that are wrong, and clocks that jump: nothing is forgotten too early, and nothing waits for a far future."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from payment_service.service import SERVICE
from shared.clock import TRUSTED, DatabaseClock
from shared.contracts import PaymentRequested
from shared.database import Transaction
from shared.messaging.durability.maintenance import Maintenance
from shared.messaging.durability.outbox import LEFT_BEHIND
from shared.service import services
from tests.component.bench import Bench, order_id
from tests.component.orders import OPAL, Shop, authorized_and_reserved
from tests.component.orders import wanted as wanted_order
from tests.component.wrong_clock import ServersClock

DAYS = timedelta(days=30)


@dataclass
class WrongClock:
    """Right but for so much."""

    bench: Bench
    ahead: timedelta

    def now(self, connection: Transaction) -> datetime:
        return self.bench.clock.now(connection) + self.ahead


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    with closing(Bench(SERVICE, database_url)) as bench:
        yield bench


def wanted(number: int) -> PaymentRequested:
    return PaymentRequested(order_id=order_id(number), amount=1999, currency="EUR", payment_token="tok_visa")


def test_all_times_that_are_kept_are_told_by_the_database() -> None:
    """One clock for each database: no worker's own may make a message due in an hour."""
    assert {name: type(service.clock) for name, service in services().items()} == dict.fromkeys(
        services(), DatabaseClock
    )


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=40)])
def test_what_a_wrong_clock_made_due_later_is_published_now(bench: Bench, ahead: timedelta) -> None:
    """A worker committed an answer and died, and the database's clock was set back since: nobody waits for it."""
    bench.consumer.clock = WrongClock(bench, ahead)
    bench.consumer.work(bench.deliveries([wanted(1)]))
    maintenance = Maintenance(bench.service.tables, bench.database, bench.clock)
    maintenance.bring_forward()
    assert [each.correlation_id for each in maintenance.claim(10)] == [order_id(1)]
    assert maintenance.claim(10) == []  # it is due again a little later, as if nothing had been wrong


def test_what_is_being_published_is_left_to_its_worker(bench: Bench) -> None:
    """A clock that is right, or a little off, makes nobody publish what its writer is publishing."""
    for ahead in (timedelta(0), LEFT_BEHIND):
        bench.consumer.clock = WrongClock(bench, ahead)
        bench.consumer.work(bench.deliveries([wanted(ahead.seconds)]))
    maintenance = Maintenance(bench.service.tables, bench.database, bench.clock)
    maintenance.bring_forward()
    assert maintenance.claim(10) == []


@pytest.mark.parametrize("wrong", ["database", "machine"])
def test_a_clock_that_jumps_ahead_forgets_nothing(bench: Bench, wrong: str) -> None:
    """What is deleted is old by the database's clock and by the worker's own: the inbox still knows its messages."""
    envelope = bench.enclose(wanted(1))
    said = bench.deliver(envelope)
    ahead = WrongClock(bench, timedelta(days=400))
    clocks = (ahead, bench.clock) if wrong == "database" else (bench.clock, ahead)
    assert not Maintenance(bench.service.tables, bench.database, *clocks).prune(DAYS, DAYS, DAYS, 10)
    assert bench.rows("SELECT COUNT(*) FROM inbox") == [(1,)]
    assert len(said) == 1
    assert bench.deliver(envelope) == []


def test_what_is_old_by_both_clocks_is_forgotten(bench: Bench) -> None:
    """So that the tables do not grow for ever."""
    bench.deliver(wanted(1))
    ahead = WrongClock(bench, timedelta(days=400))
    Maintenance(bench.service.tables, bench.database, ahead, ahead).prune(DAYS, DAYS, DAYS, 10)
    assert bench.rows("SELECT COUNT(*) FROM inbox") == [(0,)]


class ShopOnWrongTime:
    """A shop whose database's clock can be set, and which asks it whenever it wants to know the time."""

    def __init__(self, url: str) -> None:
        self.shop, self.seconds = Shop(url), 0.0
        self.servers = ServersClock(url)
        self.shop.database.dispose()
        self.shop.clock = clock = DatabaseClock(self._monotonic)  # type: ignore[assignment]
        self.shop.consumer.clock = clock
        self.shop.commands = replace(self.shop.commands, clock=clock)

    def _monotonic(self) -> float:
        self.seconds += TRUSTED
        return self.seconds


@pytest.fixture
def wrong(postgres_url: str) -> Iterator[ShopOnWrongTime]:
    wrong = ShopOnWrongTime(postgres_url)
    yield wrong
    wrong.shop.close()


def test_a_clock_that_jumps_ahead_is_nobodys_silence(wrong: ShopOnWrongTime) -> None:
    """What was waited for is waited for as long as was agreed: an approval does not expire, nobody is asked again."""
    shop = wrong.shop
    dear, order = shop.placed(wanted_order("1", LINEN_SOFA=1), wanted_order("2"))
    shop.deliver(*authorized_and_reserved(dear, shop.find(dear).total))
    before = {each: shop.find(each).saga.steps for each in (dear, order)}
    assert before[dear]["approval"].status == "requested"
    wrong.servers.set_ahead("3 days")
    assert shop.tick() == []
    for each in (dear, order):
        for name, progress in shop.find(each).saga.steps.items():
            was = before[each][name]
            assert (progress.status, progress.attempts) == (was.status, was.attempts)
            assert bool(progress.deadline) == bool(was.deadline)
            if progress.deadline and was.deadline:
                assert timedelta(days=2.9) < progress.deadline - was.deadline < timedelta(days=3.1)
    shop.deliver(*authorized_and_reserved(order))
    assert shop.find(order).saga.steps["shipping"].status == "requested"
    wrong.servers.set_ahead("5 days 1 minute")
    assert shop.tick() == []
    shop.commands.approve(dear, OPAL, "")
    assert shop.find(dear).saga.steps["approval"].status == "done"


def test_a_clock_that_goes_back_is_believed(wrong: ShopOnWrongTime) -> None:
    """Deadlines then lie further ahead, so nothing expires; what is asked for later has its own time again."""
    shop = wrong.shop
    (order,) = shop.placed()
    wrong.servers.set_ahead("3 days")
    shop.tick()
    wrong.servers.set_ahead("0")
    assert shop.tick() == []
    assert shop.jump is None
    (later,) = shop.placed(wanted_order("later"))
    deadlines = [shop.find(each).saga.deadline for each in (order, later)]
    assert deadlines[0]
    assert deadlines[1]
    assert deadlines[0] > deadlines[1] + timedelta(days=2)
    assert {shop.find(each).status for each in (order, later)} == {"pending"}
