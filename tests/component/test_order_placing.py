"""Placing: one key is one order, prices come from the catalog, and a group shares one transaction."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier

import msgspec
import pytest

from order_service.catalog import DEMO_CATALOG, add_products, list_products
from order_service.catalog import seed as seed_catalog
from order_service.domain import Product
from order_service.fulfillment.workflow import newest
from order_service.placing import Mismatch, NotSold, Placed, Replayed, place
from order_service.view import as_bytes, order_view
from tests.component.orders import NOON, SHIP_TO, Shop, wanted


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    shop = Shop(database_url)
    yield shop
    shop.close()


def counts(shop: Shop) -> dict[str, int]:
    """How many rows placing has written."""
    tables = ("orders", "sagas", "saga_history", "idempotency_keys", "outbox")
    return {table: int(shop.rows(f"SELECT COUNT(*) FROM {table}")[0][0]) for table in tables}


def test_an_order_is_there_when_it_is_placed(shop: Shop) -> None:
    """The answer is the order as anybody reads it afterwards, and its first requests are ready to go at once."""
    (placed,) = shop.place(wanted(POPULAR_LAMP=2, OAK_CHAIR=1))
    assert type(placed) is Placed
    record = shop.find(placed.order_id)
    assert placed.response == as_bytes(order_view(record, newest()))
    assert (record.customer_id, record.total, record.status) == ("alice", 2 * 1999 + 8900, "pending")
    assert record.ship_to == SHIP_TO
    assert record.placed_at == record.updated_at == NOON
    assert shop.waiting() == ["payment.requested", "stock.requested"]
    (claimed,) = {each.correlation_id for each in claim(shop)}
    assert claimed == placed.order_id
    (entry,) = shop.history(placed.order_id)
    assert (entry["event"], entry["actor"]) == ("order_placed", "customer:alice")


def claim(shop: Shop) -> list[object]:
    with shop.database.transaction() as connection:
        return list(shop.service.tables.outbox.claim(connection, NOON, 10, again_at=NOON))


def test_prices_and_names_are_the_catalogs(shop: Shop) -> None:
    """Each line carries what the product is called and costs today, and what that makes."""
    (placed,) = shop.place(wanted(TEA_TOWEL=3))
    assert isinstance(placed, Placed)
    view = msgspec.json.decode(placed.response)
    assert view["lines"] == [
        {"sku": "TEA-TOWEL", "name": "Tea towel", "quantity": 3, "unit_price": 450, "line_total": 1350}
    ]
    assert (view["total"], view["currency"]) == (1350, "EUR")
    assert [step["name"] for step in view["steps"]] == [step.name for step in newest().steps]


def test_the_token_is_shown_to_nobody(shop: Shop) -> None:
    """What the customer paid with is neither in the order nor in its history, only where payment is asked for it."""
    (placed,) = shop.place(wanted())
    assert isinstance(placed, Placed)
    assert b"tok_visa" not in placed.response
    assert "tok_visa" not in str(shop.history(placed.order_id))
    asked = {kind for kind, body in shop.rows("SELECT type, body FROM outbox") if "tok_visa" in body}
    assert asked == {"payment.requested"}


def test_from_a_total_on_somebody_must_agree(shop: Shop) -> None:
    """Whether an order needs approval is settled when it is placed, by its total."""
    below, above = shop.placed(wanted("below", TEA_TOWEL=111), wanted("above", CANDLE_SET=12, OAK_TABLE=1))
    assert (shop.find(below).total, shop.find(above).total) == (49_950, 52_900)
    assert [shop.find(each).saga.facts["needs_approval"] for each in (below, above)] == [False, True]


def test_the_same_key_is_the_same_order(shop: Shop) -> None:
    """Sent again, in the same group or later, it gets the same bytes, and nothing more is written."""
    first, twin = shop.place(wanted(), wanted())
    assert isinstance(first, Placed)
    assert twin == Replayed(first.order_id, first.response)
    once = counts(shop)
    shop.fulfill(first.order_id)
    written = counts(shop)
    assert once == {"orders": 1, "sagas": 1, "saga_history": 1, "idempotency_keys": 1, "outbox": 2}
    assert shop.place(wanted()) == [twin]
    assert counts(shop) == written


def test_the_same_key_for_something_else_is_a_mismatch(shop: Shop) -> None:
    """A key stands for one body; another one under it is refused, in the same group and later."""
    first, other = shop.place(wanted(TEA_TOWEL=1), wanted(TEA_TOWEL=2))
    assert type(first) is Placed
    assert other == Mismatch()
    assert shop.place(wanted(TEA_TOWEL=2)) == [Mismatch()]
    assert counts(shop)["orders"] == 1


def test_a_key_belongs_to_whoever_uses_it(shop: Shop) -> None:
    """Two customers with the same key place two orders, and see nothing of each other's."""
    mine, theirs = shop.place(wanted(customer="alice"), wanted(customer="bob"))
    assert type(mine) is type(theirs) is Placed
    assert counts(shop)["orders"] == 2


def test_what_is_not_sold_is_named(shop: Shop) -> None:
    """An order with products that are not in the catalog writes nothing, and leaves its key free."""
    (refused,) = shop.place(wanted(GHOST=1, POPULAR_LAMP=1, PHANTOM=1))
    assert refused == NotSold((0, 2))
    assert not any(counts(shop).values())
    with shop.database.transaction() as connection:
        add_products(connection, [Product(sku=sku, name=sku, unit_price=1) for sku in ("GHOST", "PHANTOM")], NOON)
    (placed,) = shop.place(wanted(GHOST=1, POPULAR_LAMP=1, PHANTOM=1))
    assert type(placed) is Placed


def test_answers_come_in_the_order_of_the_questions(shop: Shop) -> None:
    """A mixed group gets for each order its own answer."""
    (earlier,) = shop.place(wanted("earlier"))
    kinds = [type(each) for each in shop.place(wanted("new"), wanted("bad", GHOST=1), wanted("earlier"), wanted("new"))]
    assert kinds == [Placed, NotSold, Replayed, Replayed]
    assert isinstance(earlier, Placed)


@pytest.mark.parametrize("size", [1, 200])
def test_a_group_costs_six_statements(shop: Shop, size: int) -> None:
    """Prices, keys, orders, sagas, history and outbox, however many orders."""
    with shop.statements() as sent:
        shop.placed(*(wanted(f"order {number}") for number in range(size)))
    assert len(sent) == 6


def test_a_group_that_replays_costs_one_more(shop: Shop) -> None:
    """Only when a key was known is the earlier answer looked up."""
    shop.placed(wanted("known"))
    with shop.statements() as sent:
        shop.place(wanted("known"), wanted("new"))
    assert len(sent) == 7


def test_twins_at_the_same_instant_are_one_order(shop: Shop) -> None:
    """However many transactions place one key at once, one order comes of it, and all hear the same."""
    threads = 8
    start = Barrier(threads)

    def send(_: int) -> object:
        start.wait()
        return shop.place(wanted("twin"))[0]

    with ThreadPoolExecutor(threads) as pool:
        outcomes = list(pool.map(send, range(threads)))
    assert len({(each.order_id, each.response) for each in outcomes if isinstance(each, Placed)}) == 1
    assert [type(each) for each in outcomes].count(Placed) == 1
    assert counts(shop) == {"orders": 1, "sagas": 1, "saga_history": 1, "idempotency_keys": 1, "outbox": 2}


def test_a_failed_group_leaves_nothing(shop: Shop) -> None:
    """Order, key, saga, history and messages are written together or not at all."""
    with suppress(ZeroDivisionError), shop.database.transaction() as connection:
        place(connection, NOON, [wanted()], shop.terms())
        raise ZeroDivisionError
    assert not any(counts(shop).values())


def test_the_demo_catalog_is_there(shop: Shop) -> None:
    """Migrating leaves at least eight products behind, some cheap and some dear; doing it again changes nothing."""
    with shop.database.transaction() as connection:
        seed_catalog(connection)
        sold = list_products(connection, None, 100)
    assert sorted(DEMO_CATALOG, key=lambda each: each.sku) == sold
    assert len(sold) >= 8
    assert sum(each.unit_price < 5000 for each in sold) >= 3
    assert any(each.unit_price > 50_000 for each in sold)


def test_a_product_is_added_once(shop: Shop) -> None:
    """A sku that is sold already keeps its name and price."""
    rival = Product(sku="POPULAR-LAMP", name="Cheap lamp", unit_price=1)
    novelty = Product(sku="NOVELTY", name="Novelty", unit_price=5)
    with shop.database.transaction() as connection:
        assert add_products(connection, [rival, novelty], NOON) == {"NOVELTY"}
        page = list_products(connection, "LINEN-SOFA", 2)
    assert [each.sku for each in page] == ["NOVELTY", "OAK-CHAIR"]
    assert shop.find(shop.placed()[0]).total == 1999
