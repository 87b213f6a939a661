"""The payment service's books: each payment against its ledger, and both against the card network's own books.

Where two of the three agree, the third is what is wrong, and the two say what really moved.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection

from order_service.cli.system.audit.reading import OrderId, Span, outside_books, rows_of, table
from order_service.cli.system.audit.violations import Broken, Violation

_payments, _ledger = table("payment", "payments"), table("payment", "payment_movements")
_network = outside_books("payment")

MOVED = {"authorize": "authorized", "capture": "captured", "void": "voided", "refund": "refunded"}
ASKED_FOR = {"authorizing": "authorized", "capturing": "captured"}
UNDONE_BY = {"authorized": "voided", "captured": "refunded"}
FULL = {  # which of the amounts have moved, all of it, when a payment stands so
    "authorizing": (),
    "declined": (),
    "authorized": ("authorized",),
    "capturing": ("authorized",),
    "captured": ("authorized", "captured"),
    "voided": ("authorized", "voided"),
    "refunded": ("authorized", "captured", "refunded"),
}
SHOWN = (
    "status",
    "amount",
    "currency",
    "reversing",
    "reversal_refused",
    "authorized",
    "captured",
    "voided",
    "refunded",
)


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

    def plus(self, other: "Amounts") -> "Amounts":
        return Amounts(*map(sum, zip(self, other, strict=True)))

    def __str__(self) -> str:
        moved = [f"{name} {amount}" for name, amount in self._asdict().items() if amount]
        return ", ".join(moved) or "nothing moved"


NOTHING = Amounts()


@dataclass
class Payment:
    """What is known of one order's money."""

    row: Mapping[str, Any] | None = None
    ledger: dict[str, int] = field(default_factory=dict)  # by kind
    network: list[Mapping[str, Any]] = field(default_factory=list)  # what it approved

    @property
    def status(self) -> str:
        return str(self.row["status"]) if self.row else "none"

    @property
    def shown(self) -> Amounts:
        return Amounts(*(self.row[name] for name in Amounts._fields)) if self.row else NOTHING

    @property
    def by_ledger(self) -> Amounts:
        return Amounts(*(self.ledger.get(name, 0) for name in Amounts._fields))

    @property
    def by_network(self) -> Amounts:
        """With what it moved twice only once."""
        sums = {MOVED[entry["kind"]]: entry["amount"] for entry in self.network}
        return Amounts(*(sums.get(name, 0) for name in Amounts._fields))

    @property
    def moved(self) -> Amounts:
        """What really moved: of each amount what two of the three books say, else the network's."""
        books = zip(self.shown, self.by_ledger, self.by_network, strict=True)
        return Amounts(*(shown if shown == ledger else network for shown, ledger, network in books))

    @property
    def in_doubt(self) -> str:
        """Which amount the network may have moved already, and the payment not yet."""
        if self.row is None:
            return ""
        undone = UNDONE_BY.get(self.status, "") if self.row["reversing"] else ""
        return ASKED_FOR.get(self.status) or undone

    @property
    def captured_at(self) -> Any:
        return next((entry["at"] for entry in self.network if entry["kind"] == "capture"), None)

    def tables(self) -> dict[str, Any]:
        """The rows, for people."""
        row = {name: self.row[name] for name in SHOWN} if self.row else None
        network = [{name: entry[name] for name in ("key", "kind", "amount", "at")} for entry in self.network]
        return {
            "payment.payments": row,
            "payment.payment_movements": self.ledger,
            "payment.card_network_books": network,
        }


def read_money(connection: Connection, span: Span) -> dict[OrderId, Payment]:
    """The money of the orders of this span."""
    found: dict[OrderId, Payment] = defaultdict(Payment)
    for row in rows_of(connection, _payments, span):
        found[row["order_id"]].row = row
    for row in rows_of(connection, _ledger, span):
        found[row["order_id"]].ledger[row["kind"]] = row["amount"]
    for row in rows_of(connection, _network, span, _network.c.approved):
        found[row["order_id"]].network.append(row)
    return dict(found)


def check_payment(order_id: OrderId, payment: Payment) -> Iterator[Violation]:
    """The three books of one order's money, held together."""

    def violation(broken: Broken, what: str) -> Violation:
        return Violation(broken, order_id, what, payment.tables())

    kinds = [entry["kind"] for entry in payment.network]
    for kind in sorted({kind for kind in kinds if kinds.count(kind) > 1}):
        yield violation(Broken.MOVED_TWICE, f"{MOVED[kind]} {kinds.count(kind)} times")
    shown, ledger, network = payment.shown, payment.by_ledger, payment.by_network
    differs = False
    for name, ours, entered, theirs in zip(Amounts._fields, shown, ledger, network, strict=True):
        if ours == entered == theirs:
            continue
        if payment.row and name == payment.in_doubt and (ours, entered, theirs) == (0, 0, payment.row["amount"]):
            continue  # the answer is on its way; an order that has ended so is a violation of its own
        differs = True
        broken = Broken.NETWORK_DIFFERS
        if entered == theirs:
            broken = Broken.PAYMENT_DIFFERS
        elif ours == theirs:
            broken = Broken.LEDGER_DIFFERS
        yield violation(broken, f"{name} {ours} by the payment, {entered} by the ledger, {theirs} by the card network")
    if payment.row and not differs and not _fits(payment):
        yield violation(Broken.IMPOSSIBLE_PAYMENT, f"{payment.status} of {payment.row['amount']}: {shown}")


def _fits(payment: Payment) -> bool:
    """Whether the amounts are those of the status. Who was undone before being asked has moved nothing."""
    assert payment.row
    full = dict.fromkeys(FULL.get(payment.status, ()), payment.row["amount"])
    expected = Amounts(**full)
    return payment.shown == expected or (payment.status == "voided" and payment.shown == NOTHING)
