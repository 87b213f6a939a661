"""Many threads place orders, one commits them: together when it can, one by one when it must."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import datetime

import msgspec
import pytest
from sqlalchemy import Connection

from order_service.group_commit import Closed, GroupCommit, InUse, Overloaded
from order_service.placing import Outcome, Placed, Replayed, place
from shared.database import Database, LockTimeout, Timeouts, TransientError
from shared.messaging.notifier import Notifier
from tests.component.orders import NOON, Shop, wanted
from tests.crowd import PATIENCE, wait_for


class Turnstile:
    """A clock that lets a transaction go on when told to: meanwhile the next group gathers."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Semaphore(0), threading.Semaphore(0)

    def now(self, connection: Connection) -> datetime:
        self.entered.release()
        assert self.open.acquire(timeout=PATIENCE)
        return NOON


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    shop = Shop(database_url)
    yield shop
    shop.close()


def gathered(counter: GroupCommit, most: int) -> Callable[[], bool]:
    return lambda: len(counter._waiting) == most


def test_what_gathers_is_committed_together(shop: Shop, crowd: ThreadPoolExecutor) -> None:
    """While one order is being committed forty arrive, and they share the next transaction."""
    turnstile = Turnstile()
    counter = GroupCommit(shop.database, shop.terms(), turnstile, shop.notifier)
    first = crowd.submit(counter.submit, wanted("first"))
    assert turnstile.entered.acquire(timeout=PATIENCE)
    others = [crowd.submit(counter.submit, wanted(f"order {number}")) for number in range(40)]
    wait_for(gathered(counter, 40))
    turnstile.open.release(2)
    outcomes = [each.result(PATIENCE) for each in (first, *others)]
    assert len({each.order_id for each in outcomes if type(each) is Placed}) == 41
    assert turnstile.entered.acquire(timeout=PATIENCE)
    assert not turnstile.entered.acquire(blocking=False)
    counter.close()


def test_a_group_has_a_limit(shop: Shop, crowd: ThreadPoolExecutor) -> None:
    """More than the largest group is committed in several, in the order of arrival."""
    turnstile = Turnstile()
    counter = GroupCommit(shop.database, shop.terms(), turnstile, shop.notifier, largest=10)
    first = crowd.submit(counter.submit, wanted("first"))
    assert turnstile.entered.acquire(timeout=PATIENCE)
    others = [crowd.submit(counter.submit, wanted(f"order {number}")) for number in range(25)]
    wait_for(gathered(counter, 25))
    turnstile.open.release(2)
    wait_for(lambda: sum(each.done() for each in others) == 10)
    turnstile.open.release(2)
    assert all(type(each.result(PATIENCE)) is Placed for each in (first, *others))
    counter.close()


def test_one_bad_order_fails_alone(shop: Shop, crowd: ThreadPoolExecutor) -> None:
    """An order that cannot be placed is its sender's trouble; those that came with it are placed."""
    turnstile = Turnstile()
    counter = GroupCommit(shop.database, shop.terms(), turnstile, shop.notifier)
    first = crowd.submit(counter.submit, wanted("first"))
    assert turnstile.entered.acquire(timeout=PATIENCE)
    bad = crowd.submit(counter.submit, replace(wanted("bad"), payment_token=""))
    good = [crowd.submit(counter.submit, wanted(f"good {number}")) for number in range(5)]
    wait_for(gathered(counter, 6))
    turnstile.open.release(8)
    with pytest.raises(msgspec.ValidationError):
        bad.result(PATIENCE)
    assert all(type(each.result(PATIENCE)) is Placed for each in (first, *good))
    assert shop.rows("SELECT COUNT(*) FROM orders") == [(6,)]
    counter.close()


def test_the_relay_is_woken_after_the_commit(shop: Shop) -> None:
    """Whoever listens finds the first messages of the order in the outbox."""
    found: Future[list[str]] = Future()
    shop.notifier.listen(lambda: found.done() or found.set_result(shop.waiting()), other_processes=False)
    counter = GroupCommit(shop.database, shop.terms(), shop.clock, shop.notifier)
    counter.submit(wanted())
    assert found.result(PATIENCE) == ["payment.requested", "stock.requested"]
    counter.close()


def test_beyond_the_backlog_limit_orders_are_turned_away(shop: Shop) -> None:
    """Too many unpublished messages, counted at most once a second, and nothing more is taken until they are fewer."""
    time = 0.0
    counter = GroupCommit(
        shop.database, shop.terms(), shop.clock, shop.notifier, backlog_limit=3, monotonic=lambda: time
    )
    assert type(counter.submit(wanted("first"))) is Placed
    assert type(counter.submit(wanted("second"))) is Placed
    time = 1.0
    for attempt in ("third", "fourth"):
        with pytest.raises(Overloaded):
            counter.submit(wanted(attempt))
    with shop.database.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE outbox SET published_at = '{NOON.isoformat(timespec='microseconds')}'")
    time = 2.0
    assert type(counter.submit(wanted("third"))) is Placed
    assert shop.rows("SELECT COUNT(*) FROM orders") == [(3,)]
    counter.close()


def test_closing_finishes_what_was_submitted(shop: Shop, crowd: ThreadPoolExecutor) -> None:
    """Orders in hand are committed, then the thread ends, and no more are taken."""
    turnstile = Turnstile()
    counter = GroupCommit(shop.database, shop.terms(), turnstile, shop.notifier)
    orders = [crowd.submit(counter.submit, wanted("first"))]
    assert turnstile.entered.acquire(timeout=PATIENCE)
    orders += [crowd.submit(counter.submit, wanted(f"order {number}")) for number in range(3)]
    wait_for(gathered(counter, 3))
    closing = crowd.submit(counter.close)
    turnstile.open.release(2)
    closing.result(PATIENCE)
    assert all(type(each.result(PATIENCE)) is Placed for each in orders)
    with pytest.raises(Closed):
        counter.submit(wanted("late"))


def test_a_twin_in_another_process_holds_up_nobody_else(postgres_url: str, crowd: ThreadPoolExecutor) -> None:
    """While another process is placing the same key, that order is told so, and its companions are placed."""
    with closing(Shop(postgres_url)) as shop, Database(postgres_url, timeouts=Timeouts(lock=0.1)) as hasty:
        turnstile = Turnstile()
        counter = GroupCommit(hasty, shop.terms(), turnstile, shop.notifier)
        with shop.database.transaction() as connection:
            (placed,) = place(connection, NOON, [wanted("twin")], shop.terms())
            first = crowd.submit(counter.submit, wanted("first"))
            assert turnstile.entered.acquire(timeout=PATIENCE)
            twin, friend = (crowd.submit(counter.submit, wanted(key)) for key in ("twin", "friend"))
            wait_for(gathered(counter, 2))
            turnstile.open.release(10)
            with pytest.raises(InUse):
                twin.result(PATIENCE)
            outcomes: list[Outcome] = [each.result(PATIENCE) for each in (first, friend)]
            assert [type(each) for each in outcomes] == [Placed, Placed]
        assert isinstance(placed, Placed)
        assert counter.submit(wanted("twin")) == Replayed(placed.order_id, placed.response)
        counter.close()


@pytest.mark.parametrize("table", ["products", "idempotency_keys", "orders", "sagas", "saga_history", "outbox"])
def test_a_lock_on_a_table_is_no_key_in_use(postgres_url: str, crowd: ThreadPoolExecutor, table: str) -> None:
    """While somebody's maintenance holds it, orders fail as if the database were away, and all at once."""
    with closing(Shop(postgres_url)) as shop, Database(postgres_url, timeouts=Timeouts(lock=0.1)) as hasty:
        counter = GroupCommit(hasty, shop.terms(), shop.clock, shop.notifier)
        with shop.database.transaction() as connection:
            connection.exec_driver_sql(f"LOCK TABLE {table}")
            orders = [crowd.submit(counter.submit, wanted(f"order {number}")) for number in range(5)]
            for each in orders:
                with pytest.raises(LockTimeout):
                    each.result(PATIENCE)
        assert type(counter.submit(wanted("order 1"))) is Placed
        counter.close()


def test_when_the_database_is_away_all_are_told_at_once(crowd: ThreadPoolExecutor, shop: Shop) -> None:
    """Nobody waits for others' attempts at a database that is not there."""
    nowhere = Database("postgresql+psycopg://nobody@127.0.0.1:1/nowhere")
    counter = GroupCommit(nowhere, shop.terms(), shop.clock, Notifier(nowhere))
    orders = [crowd.submit(counter.submit, wanted(f"order {number}")) for number in range(20)]
    for each in orders:
        with pytest.raises(TransientError):
            each.result(PATIENCE)
    counter.close()
