"""One order across all services: what the customer was told, the money, the goods and the parcel, held together.

An order's end is at odds with a service only if all that the service and the outside have written down is: where those
differ among themselves, that is told of already.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from order_service.cli.system.audit.goods import Reservation
from order_service.cli.system.audit.money import Amounts, Payment
from order_service.cli.system.audit.orders import House, Order
from order_service.cli.system.audit.parcels import CARRIED, Shipment
from order_service.cli.system.audit.violations import Broken, Violation
from order_service.fulfillment.saga import OrderStatus

ABOUT_MONEY = {Broken.OTHER_AMOUNT, Broken.GOODS_WITHOUT_MONEY, Broken.MONEY_HELD}
CLOCKS_DIFFER = timedelta(seconds=1)  # of two databases, at most


@dataclass(frozen=True, kw_only=True)
class Whole:
    """What the others have of one order."""

    payment: Payment
    reservation: Reservation
    shipment: Shipment

    def tables(self) -> dict[str, Any]:
        """The rows of those that have any, for people."""
        found = {**self.payment.tables(), **self.reservation.tables(), **self.shipment.tables()}
        return {table: each for table, each in found.items() if each}


def check_order(order: Order, whole: Whole) -> Iterator[Violation]:
    """What does not agree with how the order stands."""
    yield from _check_sent(order, whole)
    if not order.status.final:
        return
    books = whole.payment, whole.reservation, whole.shipment
    forward = order.status is OrderStatus.FULFILLED
    found = list(_fulfilled(order, *books) if forward else _cancelled(order.settled, *books))
    for broken, what in found:
        rows = {"order.orders": order.row, **whole.tables()}
        yield Violation(broken, order.id, f"{order.status}, but {what}", rows)
    yield from _told(order, whole, {broken for broken, _ in found})


def check_stranger(house: House | None, order_id: str, whole: Whole) -> Iterator[Violation]:
    """Something is kept of an order that is not there: it is gone, or never was. Work for no order is a violation until
    it is undone."""
    if house is None:
        if any(True for _ in _cancelled((), whole.payment, whole.reservation, whole.shipment)):
            yield Violation(Broken.STRANGER, order_id, "there is no such order", whole.tables())
        return
    kept = {"saga": house.saga, "history": house.entries, "key": house.keys}
    what = f"there is no order, but {', '.join(name for name, each in kept.items() if each)} of it"
    yield Violation(Broken.ORDER_GONE, order_id, what, whole.tables())


def _fulfilled(order: Order, paid: Payment, held: Reservation, sent: Shipment) -> Iterator[tuple[Broken, str]]:
    """Paid in full, handed over exactly, and on its way; save for what a person has seen to instead."""
    if paid.row and paid.row["amount"] != order.amount:
        yield Broken.OTHER_AMOUNT, f"its payment is of {paid.row['amount']} instead of {order.amount}"
    elif paid.moved != Amounts(authorized=order.amount, captured=order.amount):
        yield Broken.GOODS_WITHOUT_MONEY, f"its payment of {order.amount} is {paid.status}: {paid.moved}"
    if "issue" not in order.settled:
        if held.status != "issued" and not held.issued:
            yield Broken.MONEY_WITHOUT_GOODS, f"its goods are {held.status}"
        elif order.lines not in (dict(held.lines), held.issued):
            yield Broken.OTHER_GOODS, f"{dict(held.lines)} instead of {order.lines}"
    if "dispatch" not in order.settled and sent.status != "dispatched" and not sent.sent_by:
        yield Broken.NOT_SENT, f"its parcel is {sent.status}"


def _cancelled(
    settled: Collection[str], paid: Payment, held: Reservation, sent: Shipment
) -> Iterator[tuple[Broken, str]]:
    """Nothing is held, kept, reserved or booked; save for what a person has seen to instead."""
    if "payment" not in settled and (paid.moved.held or paid.moved.kept or paid.in_doubt == "authorized"):
        yield Broken.MONEY_HELD, f"its payment is {paid.status}: {paid.moved}"
    if "inventory" not in settled and held.status in ("reserved", "issued") and held.held:
        yield Broken.GOODS_HELD, f"its goods are {held.status}"
    asked_for = sent.row is not None and (sent.status == "booking" or sent.row["cancelling"])
    if "shipping" not in settled and sent.status in (*CARRIED, "booking") and (sent.under_way or asked_for):
        yield Broken.PARCEL_BOOKED, f"its parcel is {sent.status}"


def _told(order: Order, whole: Whole, found: set[Broken]) -> Iterator[Violation]:
    """The customer was told the truth about money and parcel, as far as that is not wrong itself."""
    paid, sent = whole.payment, whole.shipment
    if not found & ABOUT_MONEY and order.amounts not in (paid.shown, paid.moved):
        what = f"{order.amounts}, and it was {paid.moved}"
        yield Violation(Broken.TOLD_AMOUNTS, order.id, what, paid.tables())
    parcel, books = (order.carrier, order.tracking_number), sent.done.get(order.carrier or "", {}).get("book")
    theirs = (order.carrier, books["text"]) if books else None
    if sent.status == "dispatched" and parcel not in ((sent.carrier, sent.tracking_number), theirs):
        what = f"{parcel}, and it is {(sent.carrier, sent.tracking_number)}"
        yield Violation(Broken.TOLD_PARCEL, order.id, what, sent.tables())


def _check_sent(order: Order, whole: Whole) -> Iterator[Violation]:
    """No carrier has the parcel before the money was taken, by their own books."""
    captured, sent = whole.payment.captured_at, whole.shipment.sent_at
    if captured and sent and sent < captured - CLOCKS_DIFFER:
        rows = {"payment.card_network_books": {"capture": captured}, "shipping.carrier_books": {"dispatch": sent}}
        yield Violation(Broken.SENT_UNPAID, order.id, f"sent {captured - sent} before the money was captured", rows)
