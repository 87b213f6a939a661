"""The audit itself: every order, page by page, across all services; then stock as a whole, and every message.

Nothing is locked, and each page is read anew, so that it may run for long beside a system that works. Of each page the
order service is read first: an order that has ended by then has ended in everybody else's books too.
"""

import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from order_service.cli.system.audit.across import Whole, check_order, check_stranger
from order_service.cli.system.audit.findings import Findings
from order_service.cli.system.audit.goods import (
    Moved,
    Reservation,
    check_receipts,
    check_reservation,
    check_stock,
    read_goods,
    read_reservations,
)
from order_service.cli.system.audit.messages import check_messages
from order_service.cli.system.audit.money import Payment, check_payment, read_money
from order_service.cli.system.audit.orders import Order, Page, check_house, oldest_key, read_page
from order_service.cli.system.audit.parcels import Shipment, check_shipment, read_parcels
from order_service.cli.system.audit.reading import Databases, OrderId, Span, snapshot
from order_service.cli.system.audit.violations import Several
from order_service.tables import orders, sagas
from shared.currencies import money

PAGE = 500  # orders; of messages ten times as many


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Which orders: all, these only, or those that something happened to since a moment."""

    only: Collection[OrderId] | None = None
    since: datetime | None = None

    @property
    def whole(self) -> bool:
        return self.only is None and self.since is None


EVERYTHING = Scope()


def audit(databases: Databases, scope: Scope = EVERYTHING, page: int = PAGE) -> Findings:
    """Read all that is in the scope, and hold it together; may run while the system does. Stock, receipts, messages and
    dead letters are no single order's: they are checked with everything only."""
    found, unexplained = Findings(whole=scope.whole), Counter[tuple[str, str]]()
    for span in _spans(databases, scope, page):
        _check_page(databases, span, found, unexplained)
    if scope.whole:
        with snapshot(databases["inventory"]) as connection:
            found.goods, stock = read_goods(connection)
            for violation in check_receipts(connection, found.goods, unexplained):
                found.add(violation)
        for violation in check_stock(found.goods, stock, unexplained):
            found.add(violation)
        for violation in check_messages(databases, found.messages, 10 * page):
            found.add(violation)
        found.checked["products in stock"] = len(stock)
        found.checked["stock movements"] = found.goods.movements
        found.checked["receipts"] = found.goods.receipts
        found.checked["messages"] = found.messages.published
        found.checked["messages received"] = found.messages.received
        found.checked["dead letters"] = found.messages.letters
    return found


def audit_at_rest(databases: Databases, wait: float, scope: Scope = EVERYTHING) -> Findings:
    """The findings as soon as nothing is under way, or as they are after `wait` seconds."""
    until = time.monotonic() + wait
    while (found := audit(databases, scope)).under_way and time.monotonic() < until:
        time.sleep(0.2)
    return found


def _spans(databases: Databases, scope: Scope, page: int) -> Iterator[Span]:
    """The orders in pieces. All pieces together leave no id out, also of orders that are gone."""
    if scope.only is not None:
        ids = sorted(set(scope.only))
        yield from (Span(only=ids[first : first + page]) for first in range(0, len(ids), page))
        return
    behind: OrderId | None = None
    while True:
        with snapshot(databases["order"]) as connection:
            ids = _next(connection, behind, scope.since, page)
        last = ids[-1] if len(ids) == page else None
        if scope.since is not None:
            if ids:
                yield Span(only=ids)
        else:
            yield Span(behind, last)
        if last is None:
            return
        behind = last


def _next(connection: Connection, behind: OrderId | None, since: datetime | None, most: int) -> list[OrderId]:
    wanted = select(orders.c.id).where(Span(behind).holds(orders.c.id)).order_by(orders.c.id).limit(most)
    if since is not None:
        wanted = wanted.join(sagas, sagas.c.order_id == orders.c.id).where(sagas.c.updated_at >= since)
    return list(connection.execute(wanted).scalars())


def _check_page(databases: Databases, span: Span, found: Findings, unexplained: Moved) -> None:
    with snapshot(databases["order"]) as connection:
        page, oldest = read_page(connection, span), oldest_key(connection)
        own = {each.id: check_house(connection, each, oldest) for each in page.houses.values()}
    with snapshot(databases["payment"]) as connection:
        payments = read_money(connection, span)
    with snapshot(databases["inventory"]) as connection:
        reservations = read_reservations(connection, span)
    with snapshot(databases["shipping"]) as connection:
        shipments = read_parcels(connection, span)
    _count(found, page, payments, reservations, shipments)
    for order_id in sorted(page.houses.keys() | payments.keys() | reservations.keys() | shipments.keys()):
        whole = Whole(
            payment=payments.get(order_id, Payment()),
            reservation=reservations.get(order_id, Reservation()),
            shipment=shipments.get(order_id, Shipment()),
        )
        house = page.houses.get(order_id)
        if house is None or house.row is None:
            if not _is_new(databases, order_id):
                for violation in check_stranger(house, order_id, whole):
                    found.add(violation)
            continue
        order, violations = own[order_id]
        books = (
            check_payment(order_id, whole.payment),
            check_reservation(order_id, whole.reservation, unexplained),
            check_shipment(order_id, whole.shipment),
            check_order(order, whole) if order else (),
        )
        for violation in (*violations, *(each for of_one in books for each in of_one)):
            found.add(violation)
        if order:
            _tell(found, order, whole)


def _is_new(databases: Databases, order_id: OrderId) -> bool:
    """Whether the order was placed while the page was read."""
    with snapshot(databases["order"]) as connection:
        return connection.execute(select(orders.c.id).where(orders.c.id == order_id)).first() is not None


def _tell(found: Findings, order: Order, whole: Whole) -> None:
    """What is told of an order beside violations."""
    found.statuses[order.row["status"]] += 1
    found.currency = order.row["currency"]
    if not order.status.final:
        found.open.setdefault(order.status, Several()).add(order.id)
    if order.row["needs_attention"]:
        found.need_a_person.add(order.id)
    for step in sorted(order.settled) if order.status.final else ():
        found.settled_by_hand(f"{order.id}: {step}; {_standing(step, order, whole)}")


def _standing(step: str, order: Order, whole: Whole) -> str:
    if step in ("payment", "capture"):
        paid, code = whole.payment.moved, order.row["currency"]
        return f"its payment is {whole.payment.status}, {money(paid.held, code)} held, {money(paid.kept, code)} kept"
    if step in ("inventory", "issue"):
        return f"its goods are {whole.reservation.status}"
    return f"its parcel is {whole.shipment.status}"


def _count(
    found: Findings,
    page: Page,
    payments: dict[OrderId, Payment],
    reservations: dict[OrderId, Reservation],
    shipments: dict[OrderId, Shipment],
) -> None:
    found.checked["orders"] += sum(each.row is not None for each in page.houses.values())
    found.checked["lines of history"] += page.entries
    found.checked["keys"] += page.keys
    for paid in payments.values():
        found.checked["payments"] += paid.row is not None
        found.checked["movements of money"] += len(paid.ledger)
        found.checked["card network entries"] += len(paid.network)
        found.ledger = found.ledger.plus(paid.by_ledger)
        for entry in paid.network:
            found.moved(entry["kind"], entry["amount"])
    found.checked["reservations"] += sum(each.row is not None for each in reservations.values())
    for sent in shipments.values():
        found.checked["shipments"] += sent.row is not None
        found.checked["carrier entries"] += len(sent.books)
        for entry in sent.books:
            found.carriers[entry["party"]][entry["kind"]] += 1
