"""The benchmark itself, with a handful of orders: that it runs, not how fast."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from order_service.cli.system.audit import settled_books
from shared.database import Database
from tests.benchmarks.driving import drive
from tests.benchmarks.embedded import Shop
from tests.benchmarks.filling import fill, youngest
from tests.benchmarks.floor import contestants
from tests.benchmarks.floor.account import shortfalls
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
        with ExitStack() as stack:
            databases = {name: stack.enter_context(Database(url)) for name, url in system.databases.items()}
            books = settled_books(databases, wait=10)
    assert measured.orders == 1
    assert measured.p999 > 0
    assert measured.per_order["events"] == 12
    assert measured.per_order["messages"] == 12  # nothing was said together
    assert measured.per_order["statements"] > 1
    assert {"postgresql", "rabbitmq", "order worker"} <= measured.cpu.keys()
    assert len(books.orders.orders) == 51
    assert list(map(str, books.differences)) == []


@pytest.mark.rabbitmq
@pytest.mark.postgresql
def test_the_floor_leaves_behind_what_ours_does() -> None:
    """The floor's rows are as many, as wide and as often changed as ours; its messages alone come to an end, too."""
    with Servers(**COUNTING) as servers:
        mine = contestants.ours(servers, 50)[1]
        others = [contestants.rows(servers, 50)[1], contestants.pipeline(servers, 50, bundle=10)[1]]
        others.append(contestants.pipeline(servers, 50)[1])
        assert contestants.messages(servers, 50)[0]["per_second"] > 0
    for account in others:
        assert list(shortfalls(mine, account)) == []
        assert list(shortfalls(account, mine)) == []


def test_everything_in_one_process_ends_too() -> None:
    """In one process on SQLite, orders end, and when each did is known."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        shop = Shop(Path(folder), stack)
        placed = shop.place(5)
        shop.wait()
        assert shop.broker.heard.keys() == set(placed)
