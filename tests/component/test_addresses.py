"""Addresses: what people are really called, and where there is no postal code."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from order_service.web.countries import COUNTRIES, WITHOUT_POSTAL_CODES
from tests.component.apps import ORDER
from tests.component.test_order_api import Shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder: Path = tmp_path_factory.mktemp("addresses")
    with closing(Shop(f"sqlite:///{folder}/order.db")) as shop:
        yield shop


@pytest.mark.parametrize("name", ["Zoë Ångström", "王小明", "علی‌رضا", "O'Neill, Jr.", "👩‍👩‍👧", "é", "-"])
def test_people_are_called_what_they_are_called(shop: Shop, name: str) -> None:
    """Any writing, marks that combine, and joiners inside a word."""
    answer = shop.send({**ORDER, "ship_to": {**ORDER["ship_to"], "name": name}}, key=name.encode().hex())
    assert answer.json["ship_to"]["name"] == name


@pytest.mark.parametrize("country", ["HK", "AE"])
def test_where_there_are_no_postal_codes_none_is_demanded(shop: Shop, country: str) -> None:
    """It may be left out or empty, and one that is given is kept."""
    address = {**ORDER["ship_to"], "country": country}
    without = {name: text for name, text in address.items() if name != "postal_code"}
    answers = [
        shop.send({**ORDER, "ship_to": each}, key=f"{country}-{number}").json["ship_to"]["postal_code"]
        for number, each in enumerate([without, {**address, "postal_code": ""}, {**address, "postal_code": "999077"}])
    ]
    assert answers == ["", "", "999077"]


def test_kosovo_is_a_country(shop: Shop) -> None:
    """XK, though ISO has not assigned it."""
    assert shop.send({**ORDER, "ship_to": {**ORDER["ship_to"], "country": "XK"}}, key="xk").status_code == 202
    assert set(COUNTRIES) > WITHOUT_POSTAL_CODES


@pytest.mark.parametrize("note", [" ", "\u200b", "\n\t", "bell\x07"])
def test_a_note_says_something(shop: Shop, note: str) -> None:
    """Whoever must give a reason gives one that can be read."""
    order_id = shop.place("noted")
    answer = shop.post(f"/orders/{order_id}/steps/payment/settle", {"note": note})
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/note")


def test_a_note_may_have_lines(shop: Shop) -> None:
    """It is refused for the order's state only."""
    order_id = shop.place("noted")
    answer = shop.post(f"/orders/{order_id}/steps/payment/settle", {"note": "first\r\n\tsecond"})
    assert answer.status_code == 409
