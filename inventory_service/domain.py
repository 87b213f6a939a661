"""What stock is, what a reservation is, and what each kind of movement does to the books."""

from collections.abc import Mapping
from enum import StrEnum

from shared.values import Value

Lines = Mapping[str, int]  # quantity by sku


class Status(StrEnum):
    """Of a reservation. An order that was released before it asked for anything is `released`, with no lines."""

    RESERVED = "reserved"
    UNAVAILABLE = "unavailable"
    RELEASED = "released"
    ISSUED = "issued"


class Kind(StrEnum):
    """Of a movement in the ledger."""

    RECEIVED = "received"
    RESERVED = "reserved"
    RELEASED = "released"
    ISSUED = "issued"


# What one unit moved does to a product's (on_hand, reserved). The stock is the sum of its movements, at every commit.
EFFECT: Mapping[Kind, tuple[int, int]] = {
    Kind.RECEIVED: (+1, 0),
    Kind.RESERVED: (0, +1),
    Kind.RELEASED: (0, -1),
    Kind.ISSUED: (-1, -1),
}


class Reservation(Value, frozen=True, kw_only=True):
    """All that is held, was held or could not be held for one order."""

    order_id: str
    status: Status
    lines: Lines
    detail: str | None = None  # why it is unavailable


class Stock(Value, frozen=True, kw_only=True):
    """How many of one product are in the house, and how many of these are promised to orders."""

    on_hand: int
    reserved: int

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved

    def moved(self, kind: Kind, quantity: int) -> "Stock":
        """The stock after `quantity` units moved."""
        on_hand, reserved = EFFECT[kind]
        return Stock(on_hand=self.on_hand + on_hand * quantity, reserved=self.reserved + reserved * quantity)


NOTHING = Stock(on_hand=0, reserved=0)


def shortage(lines: Lines, stock: Mapping[str, Stock]) -> str | None:
    """Why these lines cannot all be reserved, in at most 200 characters, or None when they can."""
    short = [sku for sku, quantity in lines.items() if stock.get(sku, NOTHING).available < quantity]
    if not short:
        return None
    first = f"{short[0]}: {lines[short[0]]} wanted, {stock.get(short[0], NOTHING).available} available"
    return f"{first}; {len(short) - 1} more short" if short[1:] else first
