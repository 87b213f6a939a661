"""The payment service's books: each payment against its ledger, and the ledger against the card network's own books."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection, case, func, literal, select

from order_service.cli.system.audit.reading import OrderId, Violation, outside_books, side, table, totals, unequal

_payments, _ledger = table("payment", "payments"), table("payment", "payment_movements")
_network = outside_books("payment")

MOVED = {"authorize": "authorized", "capture": "captured", "void": "voided", "refund": "refunded"}
_kind = case(MOVED, value=_network.c.kind)
ONCE = ("authorize", "capture")
ASKED_FOR = {"authorizing": "authorized", "capturing": "captured"}
UNDONE_BY = {"authorized": "voided", "captured": "refunded"}


class Amounts(NamedTuple):
    """In minor units."""

    authorized: int = 0
    captured: int = 0
    voided: int = 0
    refunded: int = 0

    @property
    def held(self) -> int:
        """What the customer is still without and the shop has not taken."""
        return self.authorized - self.captured - self.voided

    @property
    def kept(self) -> int:
        return self.captured - self.refunded


NOTHING = Amounts()


class Payment(NamedTuple):
    status: str
    amounts: Amounts
    asked_for: str = ""  # which of the amounts the network may already have moved by `amount`, and the ledger not yet
    amount: int = 0


@dataclass
class Money:
    payments: dict[OrderId, Payment] = field(default_factory=dict)
    ledger: Amounts = NOTHING
    network: Amounts = NOTHING  # by the network's own books
    violations: list[Violation] = field(default_factory=list)


def read_money(connection: Connection) -> Money:
    """All payments, the sums of both books, and where they differ."""
    payments = table("payment", "payments").c
    columns = [payments[name] for name in Amounts._fields]
    money = Money()
    rows = select(payments.order_id, payments.status, payments.reversing, payments.amount, *columns)
    for order_id, status, reversing, amount, *amounts in connection.execute(rows):
        asked_for = ASKED_FOR.get(status) or (UNDONE_BY.get(status, "") if reversing else "")
        money.payments[order_id] = Payment(status, Amounts(*amounts), asked_for, amount)
    money.ledger = _of(totals(connection, _ledger.c.kind, _ledger.c.amount))
    money.network = _of(_network_totals(connection))
    money.violations = [*_compare(connection, money.payments), *_twice(connection)]
    return money


def _compare(connection: Connection, payments: Mapping[OrderId, Payment]) -> Iterator[Violation]:
    moved = side(_ledger, _ledger.c.order_id, _ledger.c.kind, ours=_ledger.c.amount)
    shown = [side(_payments, _payments.c.order_id, literal(name), theirs=_payments.c[name]) for name in Amounts._fields]
    for order_id, kind, ours, theirs in unequal(connection, moved, *shown):
        yield Violation("payment", order_id, f"{kind} {ours} by the ledger, {theirs} by the payment")
    approved = side(_network, _network.c.order_id, _kind, theirs=_network.c.amount).where(_network.c.approved)
    for order_id, kind, ours, theirs in unequal(connection, moved, approved):
        payment = payments.get(order_id)
        if payment and (kind, ours, theirs) == (payment.asked_for, 0, payment.amount):
            continue  # the answer is on its way; an order that has ended so is a difference of its own
        yield Violation("payment", order_id, f"{kind} {ours} by the ledger, {theirs} by the card network")


def _twice(connection: Connection) -> Iterator[Violation]:
    many = (
        select(_network.c.order_id, _network.c.kind, func.count())
        .where(_network.c.approved, _network.c.kind.in_(ONCE))
        .group_by(_network.c.order_id, _network.c.kind)
        .having(func.count() > 1)
    )
    for order_id, kind, times in connection.execute(many):
        yield Violation("card network", order_id, f"{MOVED[kind]} {times} times")


def _network_totals(connection: Connection) -> dict[str, int]:
    wanted = select(_kind, func.sum(_network.c.amount)).where(_network.c.approved).group_by(_network.c.kind)
    return {kind: int(total) for kind, total in connection.execute(wanted)}


def _of(sums: dict[str, int]) -> Amounts:
    return Amounts(**{name: sums.get(name, 0) for name in Amounts._fields})
