"""Inventory's API: operators see reservations and stock, and take goods in."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from inventory_service.service import SERVICE
from shared.config import load
from shared.contracts import Line, StockIssueRequested, StockRequested
from shared.database import Database
from shared.messaging.notifier import Notifier
from shared.migrate import migrate
from tests.component.bench import Bench, order_id

OPERATOR = {"Authorization": "Bearer commands"}


@pytest.fixture
def client(database_url: str) -> Iterator[FlaskClient]:
    """The API as its clients see it, over the demo stock."""
    database = Database(database_url)
    migrate(SERVICE, database)
    settings = load(service="inventory", environ={"API_KEYS": "commands:operator,alice:customer:alice"})
    yield SERVICE.web(settings, database, Notifier(database)).test_client()
    database.dispose()


def receive(client: FlaskClient, sku: str, key: str | None, quantity: object) -> tuple[int, dict[str, object]]:
    headers = OPERATOR | ({"Idempotency-Key": key} if key else {})
    answer = client.post(f"/stock/{sku}/receipts", json={"quantity": quantity}, headers=headers)
    return answer.status_code, answer.json


def test_only_operators(client: FlaskClient) -> None:
    """A customer is refused, and so is a stranger."""
    for method, path in [("GET", "/stock"), ("GET", f"/reservations/{order_id(1)}"), ("POST", "/stock/X/receipts")]:
        assert client.open(path, method=method).status_code == 401
        assert client.open(path, method=method, headers={"Authorization": "Bearer alice"}).status_code == 403


def test_stock_in_pages(client: FlaskClient) -> None:
    """The pages of the stock, one after the other, hold every product once, in the order of their sku."""
    seen, cursor = [], ""
    while cursor is not None:
        page = client.get(
            "/stock", query_string={"limit": 4} | ({"cursor": cursor} if cursor else {}), headers=OPERATOR
        )
        assert len(page.json["items"]) <= 4
        seen += page.json["items"]
        cursor = page.json["next"]
    assert len(seen) == 10
    assert [each["sku"] for each in seen] == sorted(each["sku"] for each in seen)
    assert {"sku": "RARE-VASE", "on_hand": 3, "reserved": 0, "available": 3} in seen
    for query in ({"limit": 0}, {"limit": 201}, {"cursor": "nonsense"}, {"colour": "red"}):
        assert client.get("/stock", query_string=query, headers=OPERATOR).status_code == 422


def test_a_receipt_counts_once(client: FlaskClient) -> None:
    """The same key and quantity give the same answer; another quantity is refused; another key counts."""
    first = receive(client, "RARE-VASE", "monday", 2)
    assert first[0] == 201
    assert first[1] | {"received_at": ""} == {"sku": "RARE-VASE", "quantity": 2, "on_hand": 5, "received_at": ""}
    assert receive(client, "RARE-VASE", "tuesday", 1)[1]["on_hand"] == 6
    assert receive(client, "RARE-VASE", "monday", 2) == first
    assert receive(client, "RARE-VASE", "monday", 3)[0] == 422
    assert receive(client, "NEW-CHAIR", "monday", 3)[1]["on_hand"] == 3


def test_bad_receipts(client: FlaskClient) -> None:
    """A receipt without a key, or of an impossible quantity or sku, is refused, and the field is named."""
    assert receive(client, "RARE-VASE", None, 1)[0] == 400
    for quantity in (0, -1, 1_000_001, 1.5, "1", None, True):
        status, problem = receive(client, "RARE-VASE", "monday", quantity)
        assert status == 422
        assert problem["errors"][0]["pointer"] == "/quantity"
    for sku in ("%00", "a" * 65, "-x"):
        assert receive(client, sku, "monday", 1)[0] == 422


def test_a_reservation_with_its_movements(client: FlaskClient, database_url: str) -> None:
    """An operator sees what was set aside for an order and what moved; an unknown order is not found."""
    bench = Bench(SERVICE, database_url)
    lines = (Line(sku="RARE-VASE", quantity=2),)
    bench.deliver(StockRequested(order_id=order_id(1), lines=lines))
    bench.deliver(StockIssueRequested(order_id=order_id(1)))
    bench.close()
    shown = client.get(f"/reservations/{order_id(1)}", headers=OPERATOR).json
    assert (shown["status"], shown["lines"]) == ("issued", [{"sku": "RARE-VASE", "quantity": 2}])
    assert [each["kind"] for each in shown["movements"]] == ["reserved", "issued"]
    assert client.get(f"/reservations/{order_id(2)}", headers=OPERATOR).status_code == 404
