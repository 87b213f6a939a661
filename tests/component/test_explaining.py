"""`GET /orders/{id}/explanation`: gathered from the own database and, for operators, from the other services."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from order_service.tables import TABLES
from order_service.web.explaining import FIRST, LAST
from shared.contracts import PaymentDeclined, StockReserved
from shared.http.serve import end, running
from shared.messaging.broker import Delivery
from tests.component.apps import TOKENS, application, bearer, prepare
from tests.component.orders import Shop

CLOSED = "http://127.0.0.1:9"  # the port of "discard", on which nobody listens
NOBODY = {"PAYMENT_URL": CLOSED, "INVENTORY_URL": CLOSED, "SHIPPING_URL": CLOSED}


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    shop = Shop(database_url)
    yield shop
    shop.close()


def explained(shop: Shop, order_id: str, caller: str = "operator", **environ: str) -> dict[str, Any]:
    """As the API answers it; the other services are nowhere unless something else is said."""
    app = application("order", shop.database.url, **{**NOBODY, **environ})
    try:
        answer = app.test_client().get(f"/orders/{order_id}/explanation", headers=bearer(caller))
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json
        return document
    finally:
        end(app)


def test_it_answers_while_everybody_is_away(shop: Shop) -> None:
    """No worker, no broker, no participant: what is known is told, and who could not be asked is named."""
    (order_id,) = shop.placed()
    shown = explained(shop, order_id)
    assert [each["step"] for each in shown["waits_for"]] == ["payment", "inventory"]
    assert all("The message has not left yet" in each["text"] for each in shown["waits_for"])
    assert [each.partition(":")[0] for each in shown["not_asked"]] == ["payment", "inventory", "shipping"]
    assert [each["command"] for each in shown["possible"]] == [f"fulfillment cancel {order_id}"]
    assert shown["story"][0]["text"].startswith("The order was placed.")


def test_a_customer_is_told_of_the_order_and_of_no_internals(shop: Shop) -> None:
    """The same story, whom it waits for and what comes next; nothing of outboxes, dead letters or other services."""
    (order_id,) = shop.placed()
    letter = Delivery(envelope=shop.envelopes(StockReserved(order_id=order_id))[0], tag=1)
    with shop.database.transaction() as connection:
        TABLES.dead_letters.add(connection, [(letter, "failed: KeyError")], shop.clock.moment)
    operators, customers = explained(shop, order_id), explained(shop, order_id, "alice")
    for part in ("summary", "story", "next", "status", "order_id"):
        assert customers[part] == operators[part]
    assert "not left" not in str(customers)
    assert customers["not_asked"] == customers["findings"] == []
    assert "The order service could not work stock.reserved: failed: KeyError." in operators["findings"]
    replay = f"fulfillment dead-letters replay {letter.envelope.id} --service order"
    assert replay in [each["command"] for each in operators["possible"]]
    assert "dead-letters" not in str(customers)


def test_what_the_others_say_and_cannot_work_is_told(shop: Shop, tmp_path: Path) -> None:
    """Each is asked for the order and for its dead letters about it; one that is away keeps nothing from being told."""
    (order_id,) = shop.placed()
    shop.publish()
    url = f"sqlite:///{tmp_path}/payment.db"
    prepare("payment", url)
    with ExitStack() as stack:
        payment = application("payment", url)
        where = stack.enter_context(running(payment))
        shown = explained(shop, order_id, PAYMENT_URL=where, PARTICIPANTS_KEY=TOKENS["operator"])
    assert [each.partition(":")[0] for each in shown["not_asked"]] == ["inventory", "shipping"]
    (payment_says,) = (each["text"] for each in shown["waits_for"] if each["step"] == "payment")
    assert "It knows nothing of the order: its worker has not taken the message." in payment_says


def test_a_very_long_history_is_told_by_its_beginning_and_its_end(shop: Shop) -> None:
    """And how much is left out."""
    (order_id,) = shop.placed()
    repeated = PaymentDeclined(order_id=order_id, detail="no")
    for _ in range(2):
        shop.deliver(*[repeated] * ((FIRST + LAST) // 2 + 2))
    texts = [each["text"] for each in explained(shop, order_id)["story"]]
    assert texts[0].startswith("The order was placed.")
    assert "5 lines of the history are left out here." in texts
    assert len(texts) == FIRST + LAST + 1
