"""Reading: pages, filters and histories, each by an index, on any database."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from order_service.fulfillment.saga import OrderStatus
from order_service.queries import find_order, find_rows, history, list_orders, versions
from order_service.sagas import Sagas
from order_service.tables import orders, sagas
from order_service.view import Order, order_from
from shared.contracts import PaymentReversed, StockReleased
from tests.component.bench import order_id
from tests.component.orders import ALICE, Shop, authorized_and_reserved, wanted


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    shop = Shop(database_url)
    yield shop
    shop.close()


def ids(shop: Shop, **query: Any) -> list[str]:
    with shop.database.reading() as connection:
        return [each.id for each in list_orders(connection, **{"limit": 100, **query})]


def crowd(shop: Shop) -> dict[str, str]:
    """One order of each standing, by the standing."""
    names = ("pending", "confirmed", "fulfilled", "cancelling", "cancelled", "awaiting_approval")
    orders = dict(
        zip(names, shop.placed(*(wanted(name) for name in names[:-1]), wanted("dear", LINEN_SOFA=1)), strict=True)
    )
    shop.fulfill(orders["fulfilled"])
    for name in ("confirmed", "awaiting_approval"):
        shop.deliver(*authorized_and_reserved(orders[name], shop.find(orders[name]).total))
    for name in ("cancelling", "cancelled"):
        shop.commands.cancel(orders[name], ALICE)
    cancelled = orders["cancelled"]
    shop.deliver(PaymentReversed(order_id=cancelled, voided=0, refunded=0), StockReleased(order_id=cancelled))
    return orders


def test_orders_are_listed_by_status(shop: Shop) -> None:
    """Every status finds its orders and no others, for operators and for the customer."""
    orders = crowd(shop)
    for status, order in orders.items():
        assert ids(shop, status=OrderStatus(status)) == [order]
        assert ids(shop, status=OrderStatus(status), customer_id="alice") == [order]
        assert ids(shop, status=OrderStatus(status), customer_id="bob") == []


def test_orders_under_way_are_listed_without_those_at_rest(shop: Shop) -> None:
    """Fulfilled and cancelled ones are left out, beside any other filter."""
    orders = crowd(shop)
    moving = {orders[name] for name in orders if name not in ("fulfilled", "cancelled")}
    assert set(ids(shop, under_way=True)) == moving
    assert ids(shop, under_way=True, status=OrderStatus.FULFILLED) == []
    assert ids(shop, under_way=True, customer_id="bob") == []


def test_orders_are_listed_by_their_need(shop: Shop) -> None:
    """Those that need a person can be told from those that do not."""
    stuck, fine = shop.placed(wanted("stuck"), wanted("fine"))
    shop.fulfill(fine)
    shop.commands.cancel(stuck, ALICE)
    for _ in range(5):
        shop.clock.move(hours=1)
        shop.tick()
    assert ids(shop, needs_attention=True) == [stuck]
    assert ids(shop, needs_attention=False) == [fine]
    assert len(ids(shop)) == 2


def test_pages_follow_each_other(shop: Shop) -> None:
    """The newest come first, each order is on one page, and pages end."""
    orders = []
    for number in range(7):
        orders += shop.placed(wanted(f"order {number}"))
        shop.clock.move(seconds=1)
    shop.placed(wanted(customer="bob"))
    pages = [ids(shop, customer_id="alice", limit=3)]
    while pages[-1]:
        pages.append(ids(shop, customer_id="alice", limit=3, before=pages[-1][-1]))
    assert [order for page in pages for order in page] == orders[::-1]
    assert [len(page) for page in pages] == [3, 3, 1, 0]


def test_a_listed_order_is_the_order(shop: Shop) -> None:
    """A list holds the same as the orders one by one."""
    crowd(shop)
    with shop.database.reading() as connection:
        listed = list_orders(connection, limit=100)
        one_by_one: list[Order | None] = [find_order(connection, each.id) for each in listed]
        assert listed == one_by_one
        assert find_order(connection, order_id(404)) is None


def test_history_comes_in_pages(shop: Shop) -> None:
    """Any part of the history can be read on its own."""
    (order,) = shop.placed()
    shop.fulfill(order)
    with shop.database.reading() as connection:
        assert [entry["seq"] for entry in history(connection, order, after=2, limit=3)] == [3, 4, 5]
        assert history(connection, order, after=7) == []


def test_news_is_cheap_to_ask_for(shop: Shop) -> None:
    """The versions of any number of orders are one statement; an unknown order has none."""
    first, second = shop.placed(wanted("first"), wanted("second"))
    shop.fulfill(second)
    with shop.database.reading() as connection, shop.statements() as sent:
        assert versions(connection, [first, second, order_id(404)]) == {first: 1, second: 7}
    assert len(sent) == 1


MANY = {
    "postgresql": """
        INSERT INTO {table} ({key}, {others})
        SELECT CAST(md5(number::text) AS uuid), {others} FROM {table}, generate_series(1, 20000) AS number
        WHERE {key} = '{like}'
    """,
    "sqlite": """
        INSERT INTO {table} ({key}, {others})
        WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 20000)
        SELECT printf('00000000-0000-7000-8000-%012d', number), {others} FROM {table}, numbers WHERE {key} = '{like}'
    """,
}


def multiply(shop: Shop, order: str) -> None:
    """Twenty thousand more orders like this one, and a database that knows of them."""
    with shop.database.transaction() as connection:
        for table, key in ((orders, "id"), (sagas, "order_id")):
            others = ", ".join(column.name for column in table.c if column.name != key)
            statement = MANY[connection.dialect.name].format(table=table.name, key=key, others=others, like=order)
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql("ANALYZE")


@contextmanager
def planned(shop: Shop) -> Iterator[list[str]]:
    """How the database means to answer each query that is sent meanwhile."""
    plans: list[str] = []
    prefix = "EXPLAIN" if shop.database.is_postgresql else "EXPLAIN QUERY PLAN"

    def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            cursor.execute(f"{prefix} {statement}", parameters)
            plans.append("\n".join(str(row[-1]) for row in cursor.fetchall()))

    event.listen(shop.database.engine, "before_cursor_execute", explain)
    try:
        yield plans
    finally:
        event.remove(shop.database.engine, "before_cursor_execute", explain)


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({"customer_id": "bob"}, "ix_orders_customer_id_id"),
        ({"customer_id": "bob", "status": OrderStatus.PENDING}, "ix_orders_customer_id_id"),
        ({"needs_attention": True}, "ix_orders_needs_attention"),
        ({"status": OrderStatus.CANCELLED}, "ix_orders_turned_back"),
        ({"status": OrderStatus.AWAITING_APPROVAL}, "ix_sagas_wake_at"),
        ({"status": OrderStatus.FULFILLED}, "pk_orders"),
        ({}, "pk_orders"),
    ],
    ids=str,
)
def test_every_list_has_its_index(shop: Shop, query: dict[str, Any], index: str) -> None:
    """Among twenty thousand fulfilled orders, no list reads them all to find a few."""
    multiply(shop, crowd(shop)["fulfilled"])
    with planned(shop) as plans:
        ids(shop, **query)
    (plan,) = plans
    assert (
        index.replace("pk_orders", "pk_orders" if shop.database.is_postgresql else "sqlite_autoindex_orders_1") in plan
    )
    assert "Seq Scan" not in plan


@pytest.mark.parametrize("bound", ["before", "until", "prefix"])
def test_a_page_far_behind_is_found_as_quickly_as_the_first(shop: Shop, bound: str) -> None:
    """Whichever of the two tables PostgreSQL walks down first, it does not begin with what is newer."""
    (old,) = shop.placed(wanted("old"))
    shop.clock.move(days=1)
    (young,) = shop.placed(wanted("young"))
    query = {"before": young, "until": shop.now() - timedelta(hours=1), "prefix": old}[bound]
    with planned(shop) as plans:
        assert ids(shop, **{bound: query}) == [old]
    if shop.database.is_postgresql:
        assert re.search(r"\(order_id <=? '", plans[0]), plans[0]
        assert re.search(r"\(id <=? '", plans[0]), plans[0]


def test_what_is_due_is_found_by_index(shop: Shop) -> None:
    """The search for due orders walks the index of those under way, however many are at rest."""
    multiply(shop, crowd(shop)["fulfilled"])
    with planned(shop) as plans, shop.database.transaction() as connection:
        Sagas.due(connection, shop.flows, shop.now(), 200)
    assert any("ix_sagas_wake_at" in plan and "Seq Scan" not in plan for plan in plans)


def test_many_orders_are_found_by_one_look(shop: Shop) -> None:
    """Each as it is found alone; those that do not exist are left out, and asking for one twice is asking once."""
    lamp, chair = shop.placed(wanted("lamp"), wanted("chair", OAK_CHAIR=2))
    with shop.database.reading() as connection:
        rows = find_rows(connection, [lamp, chair, "0193470c-0000-7000-8000-000000000000", lamp])
    assert {order_id: order_from(row) for order_id, row in rows.items()} == {
        lamp: shop.find(lamp),
        chair: shop.find(chair),
    }
