"""Lists: a page is bounded by its bytes, whatever was asked for."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from order_service.catalog import add_products
from order_service.domain import Product
from shared.http.bounds import ANSWER_LIMIT
from tests.component.test_order_api import Shop


def test_a_list_has_at_most_a_mebibyte(tmp_path: Path) -> None:
    """Fewer orders than asked for, and a cursor to the next ones; none is left out, none comes twice."""
    products = [Product(sku=f"LONG-{number}", name="x" * 200, unit_price=1) for number in range(100)]
    lines = [{"sku": each.sku, "quantity": 1} for each in products]
    with closing(Shop(f"sqlite:///{tmp_path}/order.db")) as shop:
        with shop.database.transaction() as connection:
            add_products(connection, products, datetime.now(UTC))
        placed = {shop.place(f"key-{number}", lines=lines) for number in range(60)}
        found: list[str] = []
        path = "/orders?limit=200"
        while path:
            answer = shop.get(path)
            assert len(answer.data) <= ANSWER_LIMIT + 1_000  # the list around its items
            assert 1 <= len(answer.json["items"]) < len(placed)
            found += [order["id"] for order in answer.json["items"]]
            path = f"/orders?limit=200&cursor={answer.json['next']}" if answer.json["next"] else ""
    assert set(found) == placed
    assert len(found) == len(placed)
