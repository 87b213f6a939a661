"""The audit itself: what the customer was told, the money, the goods and the parcels of each order, held together."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from order_service.cli.system.audit.goods import Goods, Reservation, read_goods
from order_service.cli.system.audit.messages import Messages, read_messages
from order_service.cli.system.audit.money import Amounts, Money, Payment, read_money
from order_service.cli.system.audit.orders import Order, Orders, read_orders
from order_service.cli.system.audit.parcels import Parcels, Shipment, read_parcels
from order_service.cli.system.audit.reading import OrderId, Violation, snapshot
from order_service.fulfillment.saga import OrderStatus
from shared.bootstrap import open_database
from shared.currencies import money
from shared.database import Database
from shared.service import services

NOTHING_PAID = Payment("none", Amounts())
NOTHING_HELD = Reservation("none", {})
NOTHING_SENT = Shipment("none", None, None)


@dataclass
class Findings:
    """All that was read, and every violation."""

    orders: Orders
    money: Money
    goods: Goods
    parcels: Parcels
    messages: Messages
    violations: list[Violation] = field(default_factory=list)

    @property
    def checked(self) -> Mapping[str, int]:
        """How many of what were looked at."""
        return {"orders": len(self.orders.orders), "messages": self.messages.published}

    @property
    def under_way(self) -> list[str]:
        """What has not come to rest: the books of the orders that it is about are still being written."""
        by_status: dict[str, list[OrderId]] = {}
        for order_id, order in self.orders.orders.items():
            if not order.status.final:
                by_status.setdefault(order.status.replace("_", " "), []).append(order_id)
        found = [f"{status}: {several(ids, 'order')}" for status, ids in sorted(by_status.items())]
        for what, messages in {"published": self.messages.unpublished, "worked": self.messages.unworked}.items():
            found += [f"not yet {what} by {name}: {several(ids, 'message')}" for name, ids in messages.items()]
        return found

    @property
    def need_a_person(self) -> list[OrderId]:
        """Orders that somebody must look at."""
        return [order_id for order_id, order in self.orders.orders.items() if order.needs_attention]

    @property
    def by_hand(self) -> list[str]:
        """What people have settled in orders that have ended, and how it stands in the books for all that."""
        return [
            f"{order_id}: {step}; {self._standing(order_id, step)}"
            for order_id, order in self.orders.orders.items()
            if order.status.final
            for step in sorted(order.settled)
        ]

    def _standing(self, order_id: OrderId, step: str) -> str:
        if step in ("payment", "capture"):
            paid, code = self.money.payments.get(order_id, NOTHING_PAID), self.orders.currency
            sums = f"{money(paid.amounts.held, code)} held, {money(paid.amounts.kept, code)} kept"
            return f"its payment is {paid.status}, {sums}"
        if step in ("inventory", "issue"):
            return f"its goods are {self.goods.reservations.get(order_id, NOTHING_HELD).status}"
        return f"its parcel is {self.parcels.shipments.get(order_id, NOTHING_SENT).status}"


def several(ids: Sequence[str], what: str) -> str:
    """How many, and one of them: `2 orders, such as …`."""
    return f"1 {what}, {ids[0]}" if len(ids) == 1 else f"{len(ids):,} {what}s, such as {ids[0]}"


@contextmanager
def open_databases(template: str) -> Iterator[Mapping[str, Database]]:
    """The databases of all services; `{service}` in the URL stands for each one's name."""
    urls = {name: template.replace("{service}", name) for name in services()}
    settings = {name: services()[name].settings(environ={}, database_url=url) for name, url in urls.items()}
    with ExitStack() as stack:
        yield {name: stack.enter_context(open_database(given)) for name, given in settings.items()}


def audit(databases: Mapping[str, Database]) -> Findings:
    """Read everything and compare; may run while the system does.

    The order service is read first: an order that has ended by then has ended in everybody else's books too.
    """
    with snapshot(databases["order"]) as connection:
        orders = read_orders(connection)
    with snapshot(databases["payment"]) as connection:
        paid = read_money(connection)
    with snapshot(databases["inventory"]) as connection:
        goods = read_goods(connection)
    with snapshot(databases["shipping"]) as connection:
        parcels = read_parcels(connection)
    at_rest = {order_id for order_id, order in orders.orders.items() if order.status.final}
    books = Findings(orders, paid, goods, parcels, read_messages(databases, at_rest))
    books.violations = [
        *orders.violations,
        *paid.violations,
        *goods.violations,
        *parcels.violations,
        *_strangers(books),
        *(Violation(name, "messages", f"{count} dead letters") for name, count in books.messages.dead.items()),
    ]
    for order_id, order in orders.orders.items():
        if order.status.final:
            payment = books.money.payments.get(order_id, NOTHING_PAID)
            held = goods.reservations.get(order_id, NOTHING_HELD)
            sent = parcels.shipments.get(order_id, NOTHING_SENT)
            ended = _fulfilled if order.status is OrderStatus.FULFILLED else _cancelled
            for what in (*ended(order, payment, held, sent), *_told(order, payment, sent)):
                books.violations.append(Violation("order", order_id, f"{order.status}, but {what}"))
    return books


def audit_at_rest(databases: Mapping[str, Database], wait: float) -> Findings:
    """The findings as soon as nothing is under way, or as they are after `wait` seconds."""
    until = time.monotonic() + wait
    while (found := audit(databases)).under_way and time.monotonic() < until:
        time.sleep(0.2)
    return found


def _fulfilled(order: Order, paid: Payment, held: Reservation, sent: Shipment) -> Iterator[str]:
    """Paid in full, handed over exactly, and on its way; save for what a person has seen to instead."""
    if paid.status != "captured" or paid.amounts != Amounts(authorized=order.total, captured=order.total):
        yield f"its payment of {order.total} is {paid.status}: {paid.amounts}"
    if "issue" not in order.settled and (held.status != "issued" or dict(held.lines) != order.lines):
        yield f"its goods are {held.status}: {dict(held.lines)} instead of {order.lines}"
    if "dispatch" not in order.settled and sent.status != "dispatched":
        yield f"its parcel is {sent.status}"


def _cancelled(order: Order, paid: Payment, held: Reservation, sent: Shipment) -> Iterator[str]:
    """Nothing is held, kept, reserved or booked; save for what a person has seen to instead."""
    given_back = paid.status in ("none", "declined", "voided", "refunded")
    if "payment" not in order.settled and (not given_back or paid.amounts.held or paid.amounts.kept):
        yield f"its payment is {paid.status}: {paid.amounts}"
    if "inventory" not in order.settled and held.status not in ("none", "unavailable", "released"):
        yield f"its goods are {held.status}"
    if "shipping" not in order.settled and sent.status not in ("none", "refused", "cancelled"):
        yield f"its parcel is {sent.status}"


def _told(order: Order, paid: Payment, sent: Shipment) -> Iterator[str]:
    """The customer was told the truth about money and parcel."""
    if order.amounts != paid.amounts:
        yield f"the customer was told {order.amounts}, and it was {paid.amounts}"
    parcel = (order.carrier, order.tracking_number)
    if sent.status == "dispatched" and parcel != (sent.carrier, sent.tracking_number):
        yield f"the customer was told of parcel {parcel}, and it is {(sent.carrier, sent.tracking_number)}"


def _strangers(books: Findings) -> Iterator[Violation]:
    known = {
        "payment": set(books.money.payments),
        "inventory": set(books.goods.reservations),
        "shipping": set(books.parcels.shipments),
    }
    for name, order_ids in known.items():
        for order_id in order_ids - books.orders.orders.keys():
            yield Violation(name, order_id, "there is no such order")
