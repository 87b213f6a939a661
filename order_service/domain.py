"""What the shop sells and what a customer asks for, as plain values. Money is an integer in minor units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LARGEST_UNIT_PRICE = 10**10  # so that 100 lines of 1,000 pieces stay exact in every JSON reader


@dataclass(frozen=True, kw_only=True)
class Product:
    sku: str
    name: str
    unit_price: int


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A line as the customer asks for it, without a price."""

    sku: str
    quantity: int


@dataclass(frozen=True, kw_only=True)
class NewOrder:
    """An order as it is asked for. `principal`, `path` and `key` make it the same order however often it is sent;
    `body_hash` tells whether it really is the same."""

    principal: str
    path: str
    key: str
    body_hash: str
    customer_id: str
    lines: Sequence[Wish]
    ship_to: Mapping[str, str]
    payment_token: str
    traceparent: str | None = None  # the W3C trace that the order's messages belong to


def price(wishes: Sequence[Wish], products: Mapping[str, Product]) -> list[dict[str, Any]]:
    """The lines of an order at today's prices; every sku must be among the products."""
    return [
        {
            "sku": wish.sku,
            "name": products[wish.sku].name,
            "quantity": wish.quantity,
            "unit_price": products[wish.sku].unit_price,
            "line_total": products[wish.sku].unit_price * wish.quantity,
        }
        for wish in wishes
    ]
