"""Inventory: all lines or none, never oversold, and books that add up."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier

import pytest

from inventory_service.receipts import DEMO_STOCK, KeyReused, receive
from inventory_service.service import SERVICE
from shared.config import load
from shared.contracts import (
    Line,
    StockIssued,
    StockIssueRequested,
    StockReleased,
    StockReleaseRequested,
    StockRequested,
    StockReserved,
    StockUnavailable,
)
from tests.component.bench import Bench, order_id, persist


class Inventory(Bench):
    """The inventory service with some stock."""

    def receive(self, **stock: int) -> None:
        with self.database.transaction() as connection:
            for sku, quantity in stock.items():
                receive(connection, self.now(), principal="test", sku=sku, key="first", quantity=quantity)

    def stock(self) -> dict[str, tuple[int, int]]:
        """On hand and reserved, by sku; the ledger must say the same."""
        books = {sku: (on_hand, held) for sku, on_hand, held in self.rows("SELECT sku, on_hand, reserved FROM stock")}
        ledger = self.rows(
            """SELECT sku, CAST(SUM(CASE kind WHEN 'received' THEN quantity WHEN 'issued' THEN -quantity ELSE 0 END)
               AS INTEGER), CAST(SUM(CASE kind WHEN 'reserved' THEN quantity WHEN 'received' THEN 0 ELSE -quantity END)
               AS INTEGER) FROM stock_movements GROUP BY sku"""
        )
        assert books == {sku: (on_hand, held) for sku, on_hand, held in ledger}
        return books


def wants(number: int, **lines: int) -> StockRequested:
    """Order so-and-so wants these products."""
    wanted = tuple(Line(sku=sku, quantity=quantity) for sku, quantity in lines.items())
    return StockRequested(order_id=order_id(number), lines=wanted)


@pytest.fixture
def inventory(database_url: str) -> Iterator[Inventory]:
    bench = Inventory(SERVICE, database_url)
    yield bench
    bench.close()


def test_all_lines_are_reserved(inventory: Inventory) -> None:
    """An order whose lines are all there has them set aside, and nothing leaves the house yet."""
    inventory.receive(LAMP=5, CHAIR=4)
    assert inventory.deliver(wants(1, LAMP=2, CHAIR=4)) == [StockReserved(order_id=order_id(1))]
    assert inventory.stock() == {"LAMP": (5, 2), "CHAIR": (4, 4)}


def test_one_short_line_refuses_all(inventory: Inventory) -> None:
    """When one line is short, or unknown, nothing at all is set aside, and the refusal says what is short."""
    inventory.receive(LAMP=5, CHAIR=4)
    assert inventory.deliver(wants(1, LAMP=2, CHAIR=5, GHOST=1)) == [
        StockUnavailable(order_id=order_id(1), detail="CHAIR: 5 wanted, 4 available; 1 more short")
    ]
    assert inventory.stock() == {"LAMP": (5, 0), "CHAIR": (4, 0)}


def test_a_sku_named_twice_is_added_up(inventory: Inventory) -> None:
    """Two lines of one product count together."""
    inventory.receive(LAMP=5)
    lines = (Line(sku="LAMP", quantity=3), Line(sku="LAMP", quantity=3))
    (said,) = inventory.deliver(StockRequested(order_id=order_id(1), lines=lines))
    assert said == StockUnavailable(order_id=order_id(1), detail="LAMP: 6 wanted, 5 available")


def test_shortage_inside_a_batch_is_exact(inventory: Inventory) -> None:
    """Of ten orders in one batch for the last three, the first three get one and seven hear that there is none."""
    inventory.receive(VASE=3)
    said = inventory.deliver(*(wants(number, VASE=1) for number in range(10)))
    assert [type(each) for each in said] == [StockReserved] * 3 + [StockUnavailable] * 7
    assert [each.order_id for each in said] == [order_id(number) for number in range(10)]
    assert inventory.stock() == {"VASE": (3, 3)}


def test_a_release_inside_a_batch_serves_the_next(inventory: Inventory) -> None:
    """What an order gives back in a batch is there for the next order of the same batch."""
    inventory.receive(VASE=1)
    said = inventory.deliver(wants(1, VASE=1), StockReleaseRequested(order_id=order_id(1)), wants(2, VASE=1))
    assert [type(each) for each in said] == [StockReserved, StockReleased, StockReserved]
    assert inventory.stock() == {"VASE": (1, 1)}


def test_issued_goods_leave_the_stock(inventory: Inventory) -> None:
    """Issuing takes the goods out of the house and out of the reserved ones; asked again it changes nothing."""
    inventory.receive(LAMP=5)
    inventory.deliver(wants(1, LAMP=2))
    for _ in range(2):
        assert inventory.deliver(StockIssueRequested(order_id=order_id(1))) == [StockIssued(order_id=order_id(1))]
        assert inventory.stock() == {"LAMP": (3, 0)}
    assert inventory.deliver(wants(1, LAMP=2)) == [StockReserved(order_id=order_id(1))]
    assert inventory.stock() == {"LAMP": (3, 0)}


def test_what_is_not_held_is_not_issued(inventory: Inventory) -> None:
    """To issue for an order that holds nothing, or to release what has left, is a sender's bug: a dead letter."""
    inventory.receive(LAMP=1)
    assert inventory.deliver(StockIssueRequested(order_id=order_id(1))) == []
    inventory.deliver(wants(2, LAMP=9))
    assert inventory.deliver(StockIssueRequested(order_id=order_id(2))) == []
    inventory.deliver(wants(3, LAMP=1), StockIssueRequested(order_id=order_id(3)))
    assert inventory.deliver(StockReleaseRequested(order_id=order_id(3))) == []
    assert [reason.partition(":")[0] for reason in inventory.buried()] == ["not_reserved", "not_reserved", "issued"]
    assert inventory.stock() == {"LAMP": (0, 0)}


def test_issue_after_release_hears_of_the_release(inventory: Inventory) -> None:
    """Asked to issue what was released, inventory says again that it was released."""
    inventory.receive(LAMP=1)
    inventory.deliver(wants(1, LAMP=1), StockReleaseRequested(order_id=order_id(1)))
    assert inventory.deliver(StockIssueRequested(order_id=order_id(1))) == [StockReleased(order_id=order_id(1))]
    assert inventory.stock() == {"LAMP": (1, 0)}


@pytest.mark.parametrize("size", [1, 200])
def test_a_batch_costs_eight_statements(inventory: Inventory, size: int) -> None:
    """A batch of 1 and one of 200 send at most 8 statements each, and a hot product is written by one of them."""
    inventory.receive(LAMP=1000, CHAIR=1000)
    inventory.deliver(wants(500, LAMP=1))
    steps = [
        [wants(number, LAMP=1, CHAIR=1) for number in range(size)],
        [StockReleaseRequested(order_id=order_id(number)) for number in range(0, size, 2)],
        [StockIssueRequested(order_id=order_id(number)) for number in range(1, size, 2)] or [wants(501, LAMP=1)],
    ]
    for messages in steps:
        with inventory.statements() as sent:
            assert len(inventory.deliver(*messages)) == len(messages)
        assert len(sent) <= 8
        assert sum("UPDATE stock" in each for each in sent) == 1


def test_several_workers_never_oversell(postgres_url: str) -> None:
    """Four workers at once, each with batches of its own for the same few products: exactly what is there is sold."""
    with closing(Inventory(SERVICE, postgres_url)) as bench:
        bench.receive(VASE=37, LAMP=50)
        handling = SERVICE.handling(load(service="inventory", environ={}), bench.database)
        together = Barrier(4)

        def work(worker: int) -> list[str]:
            consumer, said = bench.another(handling), []
            for batch in range(10):
                together.wait(60)
                # Odd workers name the products the other way round: locks in the order of the lines would deadlock.
                lines = {"VASE": 1, "LAMP": 1} if worker % 2 else {"LAMP": 1, "VASE": 1}
                messages = [wants(worker * 1000 + batch * 10 + number, **lines) for number in range(5)]
                said += consumer.work(bench.deliveries(messages))
            return [each.type for each in said]

        with ThreadPoolExecutor(4) as pool:
            said = [each for result in pool.map(work, range(4)) for each in result]
        assert len(said) == 200
        assert said.count("stock.reserved") == 37
        assert bench.stock() == {"VASE": (37, 37), "LAMP": (50, 37)}


def test_eight_buyers_of_the_last_one(postgres_url: str) -> None:
    """Eight orders at the same instant for the last vase, each in a transaction of its own: one gets it."""
    with closing(Inventory(SERVICE, postgres_url)) as bench:
        handling = SERVICE.handling(load(service="inventory", environ={}), bench.database)
        for attempt in range(5):
            with bench.database.transaction() as connection:
                receive(connection, bench.now(), principal="test", sku="VASE", key=str(attempt), quantity=1)
            together = Barrier(8)

            def buy(number: int, together: Barrier = together, attempt: int = attempt) -> str:
                consumer = bench.another(handling)
                deliveries = bench.deliveries([wants(attempt * 10 + number, VASE=1)])
                together.wait(60)
                (said,) = persist(consumer, deliveries)
                return said.type

            with ThreadPoolExecutor(8) as pool:
                said = list(pool.map(buy, range(8)))
            assert sorted(said) == ["stock.reserved"] + ["stock.unavailable"] * 7
        assert bench.stock() == {"VASE": (5, 5)}


def test_a_release_that_overtakes_in_another_worker(postgres_url: str) -> None:
    """A request and its release, worked by two workers in the same instant, leave nothing held."""
    with closing(Inventory(SERVICE, postgres_url)) as bench:
        bench.receive(LAMP=100)
        handling = SERVICE.handling(load(service="inventory", environ={}), bench.database)
        together = Barrier(2)

        def work(release: bool) -> None:
            consumer = bench.another(handling)
            for number in range(40):
                message = StockReleaseRequested(order_id=order_id(number)) if release else wants(number, LAMP=1)
                deliveries = bench.deliveries([message])
                together.wait(60)
                persist(consumer, deliveries)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(work, [False, True]))
        assert bench.stock() == {"LAMP": (100, 0)}
        assert bench.rows("SELECT DISTINCT status FROM reservations") == [("released",)]
        assert bench.buried() == []


def test_a_receipt_counts_once(inventory: Inventory) -> None:
    """The same receipt sent again answers the same and changes nothing; with another quantity it is refused."""

    def send(key: str, quantity: int) -> int:
        with inventory.database.transaction() as connection:
            now = inventory.now()
            return receive(connection, now, principal="olga", sku="LAMP", key=key, quantity=quantity).on_hand

    assert [send("monday", 5), send("tuesday", 2), send("monday", 5)] == [5, 7, 5]
    with pytest.raises(KeyReused):
        send("monday", 6)
    assert inventory.stock() == {"LAMP": (7, 0)}


def test_twin_receipts_count_once(new_postgresql_database: Callable[[], str]) -> None:
    """The same receipt sent eight times in the same instant counts once, and all hear the same."""
    with closing(Inventory(SERVICE, new_postgresql_database())) as bench:
        together = Barrier(8)

        def send(_: int) -> int:
            together.wait(60)
            with bench.database.transaction() as connection:
                return receive(connection, bench.now(), principal="olga", sku="LAMP", key="monday", quantity=5).on_hand

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(send, range(8))) == [5] * 8
        assert bench.stock() == {"LAMP": (5, 0)}


def test_seeding_twice_changes_nothing(database_url: str) -> None:
    """The demo stock is received once, however often the service is migrated."""
    for _ in range(2):
        bench = Inventory(SERVICE, database_url, seed=True)
        assert bench.stock() == {sku: (quantity, 0) for sku, quantity in DEMO_STOCK.items()}
        bench.close()
