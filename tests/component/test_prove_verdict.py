"""The proof's verdict: what customers were told is held against what the order service keeps, both ways."""

from collections.abc import Iterator

import pytest
from sqlalchemy import delete, update

from order_service.cli.system.prove.fates import FATES
from order_service.cli.system.prove.ledger import Ledger, Wish
from order_service.cli.system.prove.verdict import not_as_told
from order_service.tables import idempotency_keys, orders
from shared.database import Database
from shared.http.serve import end
from tests.component.apps import ORDER, application, bearer, prepare

OTHER = "00000000-0000-7000-8000-000000000000"


class Shop:
    """An order service that three orders were placed at, which have all been fulfilled, and their customer's ledger."""

    def __init__(self, url: str) -> None:
        prepare("order", url)
        self.app, self.database, self.ledger = application("order", url), Database(url), Ledger()
        for number in range(3):
            self.ledger.placed(wish := self.wish(number), order := self.place(wish.key))
            with self.database.transaction() as connection:
                connection.execute(update(orders).values(status="fulfilled"))
            self.ledger.told(wish, {**order, "status": "fulfilled"})

    def wish(self, number: int) -> Wish:
        wish = self.ledger.wishes[number] = Wish(number, FATES[0], f"key-{number}")
        return wish

    def place(self, key: str) -> dict[str, object]:
        headers = {**bearer("alice"), "Idempotency-Key": key}
        answer = self.app.test_client().post("/orders", json=ORDER, headers=headers)
        assert answer.status_code == 202
        found: dict[str, object] = answer.json
        return found

    def violations(self) -> list[str]:
        return sorted({each.partition(":")[0] for each in not_as_told(self.database, self.ledger)})


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    shop = Shop(database_url)
    assert shop.violations() == []
    yield shop
    shop.database.dispose()
    end(shop.app)


def test_an_order_that_is_gone_is_missed(shop: Shop) -> None:
    """What was promised is kept, with its key."""
    shop.ledger.wishes[1].order_id = OTHER
    assert shop.violations() == ["a key that leads elsewhere", "an order that was promised is missing"]


def test_another_end_than_was_told_is_found(shop: Shop) -> None:
    """What customers saw last is what is kept."""
    with shop.database.transaction() as connection:
        first = shop.ledger.wishes[0].order_id
        connection.execute(update(orders).where(orders.c.id == first).values(status="cancelled", reason="timed_out"))
    assert shop.violations() == ["kept otherwise than told"]


def test_a_lost_key_is_missed(shop: Shop) -> None:
    """Without it, the next try under this key would be a second order."""
    with shop.database.transaction() as connection:
        connection.execute(delete(idempotency_keys).where(idempotency_keys.c.key == "key-2"))
    assert shop.violations() == ["a key that leads elsewhere", "an order that nobody asked for"]


def test_an_order_that_nobody_asked_for_is_found(shop: Shop) -> None:
    """Every order is somebody's wish. One whose answer never came is a wish, too, that has not ended."""
    shop.place("key-3")
    assert shop.violations() == ["an order that nobody asked for"]
    shop.wish(3)
    assert shop.violations() == ["an order did not end"]
