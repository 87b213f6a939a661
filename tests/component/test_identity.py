"""Who a caller is: a role and a name, wherever orders are shown, moved and told apart."""

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.component.apps import ORDER
from tests.component.test_order_api import Shop

KEYS = "olga-the-operator:operator:olga,otto-the-operator:operator:otto,olga-the-customer:customer:olga"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with closing(Shop(f"sqlite:///{tmp_path}/order.db", API_KEYS=KEYS)) as shop:
        yield shop


def ask(shop: Shop, who: str, path: str, body: Any = None, key: str = "shared") -> Any:
    headers = {"Authorization": f"Bearer {who}", "Idempotency-Key": key}
    return shop.client.open(path, method="GET" if body is None else "POST", json=body, headers=headers)


def test_a_customer_named_like_an_operator_sees_nothing_of_his(shop: Shop) -> None:
    """Neither the order nor its history nor in a list, and cannot cancel it."""
    order = ask(shop, "olga-the-operator", "/orders", ORDER).json
    assert order["customer_id"] == "operator:olga"
    path = f"/orders/{order['id']}"
    asked = [ask(shop, "olga-the-customer", each) for each in (path, f"{path}/history", f"{path}/events")]
    assert {answer.status_code for answer in asked} == {404}
    assert ask(shop, "olga-the-customer", f"{path}/cancel", {}).status_code == 404
    assert ask(shop, "olga-the-customer", "/orders").json["items"] == []


def test_two_operators_are_two_people(shop: Shop) -> None:
    """The same key is another order for each, and the history says which of them it was."""
    placed = {who: ask(shop, who, "/orders", ORDER).json["id"] for who in ("olga-the-operator", "otto-the-operator")}
    assert len(set(placed.values())) == 2
    order_id = placed["olga-the-operator"]
    ask(shop, "otto-the-operator", f"/orders/{order_id}/cancel", {})
    history = ask(shop, "otto-the-operator", f"/orders/{order_id}/history").json["items"]
    assert [entry["actor"] for entry in history] == ["operator:olga", "operator:otto"]


def test_the_log_of_a_new_order_has_its_id_and_whence_it_came(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """So that a complaint can be followed from either end."""
    caplog.set_level(logging.INFO)
    order = ask(shop, "olga-the-customer", "/orders", ORDER).json
    (line,) = [message for message in caplog.messages if message.startswith("POST /orders")]
    assert order["id"] in line
    assert "by customer:olga from 127.0.0.1" in line
