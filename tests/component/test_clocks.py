"""Clocks that are wrong, and clocks that jump: nothing is forgotten too early, and nothing waits for a far future."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from payment_service.service import SERVICE
from shared.clock import DatabaseClock
from shared.contracts import PaymentRequested
from shared.database import Transaction
from shared.messaging.durability.maintenance import Maintenance
from shared.messaging.durability.outbox import LEFT_BEHIND
from shared.service import services
from tests.component.bench import Bench, order_id

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
