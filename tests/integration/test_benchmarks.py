"""The benchmark itself, with a handful of orders: that it runs, not how fast."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from order_service.cli.audit import settled_books
from shared.database import Database
from tests.benchmarks.driving import drive
from tests.benchmarks.embedded import Shop
from tests.benchmarks.filling import fill, youngest
from tests.benchmarks.load import Load
from tests.benchmarks.servers import Servers
from tests.benchmarks.system import COUNTING, System, running


@contextmanager
def small_system() -> Iterator[System]:
    with Servers(**COUNTING) as servers, running(servers) as system:
        yield system


@pytest.mark.rabbitmq
@pytest.mark.postgresql
def test_an_order_is_measured_and_copied_and_the_books_add_up() -> None:
    """An order is timed to its end and its messages are counted; the books add up with fifty copies of it, too."""
    with small_system() as system:
        load = Load(run="", database_url=system.databases["order"], orders=1, rate=50.0, group=1)
        measured = drive(system, "one", load)
        fill(system, youngest(system), 50)
        databases = {name: Database(url) for name, url in system.databases.items()}
        books = settled_books(databases, wait=10)
        for database in databases.values():
            database.dispose()
    assert measured.orders == 1
    assert measured.p999 > 0
    assert measured.per_order["messages"] == 12
    assert measured.per_order["statements"] > 1
    assert {"postgresql", "rabbitmq", "order worker"} <= measured.cpu.keys()
    assert len(books.orders.orders) == 51
    assert list(map(str, books.differences)) == []


def test_everything_in_one_process_ends_too() -> None:
    """In one process on SQLite, orders end, and when each did is known."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        shop = Shop(Path(folder), stack)
        placed = shop.place(5)
        shop.wait()
        assert shop.broker.heard.keys() == set(placed)
