"""The three participants as data: how each is asked, what it answers, and how to see what it really did."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from sqlalchemy import select

from inventory_service.receipts import receive
from shared import contracts as c
from shared.messaging.envelope import Message
from tests.component.bench import Bench, order_id

LINES = (c.Line(sku="POPULAR-LAMP", quantity=2),)


def address(country: str) -> c.Address:
    return c.Address(name="Ada", line1="1 Main Street", city="Anywhere", postal_code="12345", country=country)


@dataclass(frozen=True)
class Participant:
    """How one service is asked, and what it says. Each request is made for an order id."""

    name: str
    request: Callable[[str], Message]
    success: type[Any]
    hopeless: Callable[[str], Message]
    refusal: type[Any]
    undo: Callable[[str], Message]
    undone: type[Any]
    finish: Callable[[Any], Message]  # what is asked next, given the success
    finished: type[Any]
    statuses: str  # a query: the status of every order
    books: str  # a query: all that was really done
    effects: str  # a query that finds nothing when nothing is held for any order
    undoable_when_finished: bool = False
    stock: int = 0


PAYMENT = Participant(
    name="payment",
    request=lambda order: c.PaymentRequested(order_id=order, amount=1999, currency="EUR", payment_token="tok_visa"),
    success=c.PaymentAuthorized,
    hopeless=lambda order: c.PaymentRequested(
        order_id=order, amount=1999, currency="EUR", payment_token="tok_declined"
    ),
    refusal=c.PaymentDeclined,
    undo=lambda order: c.PaymentReversalRequested(order_id=order),
    undone=c.PaymentReversed,
    finish=lambda fact: c.CaptureRequested(
        order_id=fact.order_id, authorization_id=fact.authorization_id, amount=fact.authorized
    ),
    finished=c.PaymentCaptured,
    statuses="SELECT order_id, status FROM payments ORDER BY order_id",
    books="SELECT order_id, kind, amount FROM card_network_books WHERE approved ORDER BY order_id, kind",
    effects="""SELECT order_id FROM card_network_books WHERE approved GROUP BY order_id
               HAVING SUM(CASE kind WHEN 'authorize' THEN amount WHEN 'capture' THEN 0 ELSE -amount END) <> 0""",
    undoable_when_finished=True,
)
INVENTORY = Participant(
    name="inventory",
    request=lambda order: c.StockRequested(order_id=order, lines=LINES),
    success=c.StockReserved,
    hopeless=lambda order: c.StockRequested(order_id=order, lines=(*LINES, c.Line(sku="NO-SUCH-THING", quantity=1))),
    refusal=c.StockUnavailable,
    undo=lambda order: c.StockReleaseRequested(order_id=order),
    undone=c.StockReleased,
    finish=lambda fact: c.StockIssueRequested(order_id=fact.order_id),
    finished=c.StockIssued,
    statuses="SELECT order_id, status FROM reservations ORDER BY order_id",
    books="SELECT reference, sku, kind, quantity FROM stock_movements WHERE kind <> 'received' ORDER BY 1, 2, 3",
    effects="SELECT sku FROM stock WHERE reserved <> 0 OR on_hand <> 1000",
    stock=1000,
)
SHIPPING = Participant(
    name="shipping",
    request=lambda order: c.ShipmentRequested(order_id=order, lines=LINES, ship_to=address("DE")),
    success=c.ShipmentBooked,
    hopeless=lambda order: c.ShipmentRequested(order_id=order, lines=LINES, ship_to=address("NZ")),
    refusal=c.ShipmentRefused,
    undo=lambda order: c.ShipmentCancellationRequested(order_id=order),
    undone=c.ShipmentCancelled,
    finish=lambda fact: c.DispatchRequested(order_id=fact.order_id, tracking_number=fact.tracking_number),
    finished=c.ShipmentDispatched,
    statuses="SELECT order_id, status FROM shipments ORDER BY order_id",
    books="SELECT order_id, party, kind FROM carrier_books WHERE approved ORDER BY order_id, party, kind",
    effects="""SELECT order_id FROM carrier_books WHERE approved GROUP BY order_id
               HAVING SUM(CASE kind WHEN 'book' THEN 1 WHEN 'cancel' THEN -1 ELSE 0 END) <> 0""",
)
A, B, OTHER = order_id(1), order_id(2), order_id(3)


class Room(Bench):
    """A participant on a database of its own."""

    def __init__(self, participant: Participant, url: str) -> None:
        super().__init__(import_module(f"{participant.name}_service.service").SERVICE, url)
        self.participant = participant
        if participant.stock:
            with self.database.transaction() as connection:
                now = self.clock.now(connection)
                receive(connection, now, principal="test", sku="POPULAR-LAMP", key="1", quantity=participant.stock)

    def held(self) -> bool:
        """Whether anything is held anywhere."""
        return bool(self.rows(self.participant.effects))

    def state(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that the service and its outside know, without times and message ids."""
        ignored = {"at", "created_at", "updated_at", "received_at", "version", "askings"}
        found = {}
        with self.database.reading() as connection:
            for name, table in self.service.metadata.tables.items():
                if name in ("inbox", "outbox", "dead_letters", "dead_letter_counts"):
                    continue
                columns = [column for column in table.c if column.name not in ignored]
                found[name] = sorted((tuple(row) for row in connection.execute(select(*columns))), key=repr)
        return found
