"""An order service on a real database, with a clock that only moves when told to."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, select

from order_service.commands import Commands
from order_service.domain import NewOrder, Wish
from order_service.fulfillment.workflow import WORKFLOWS
from order_service.placing import Outcome, Placed, place
from order_service.queries import find_order, history
from order_service.sagas import Sagas
from order_service.service import SERVICE
from order_service.tables import TABLES
from order_service.terms import Flows, Terms
from order_service.timers import due
from order_service.view import Order
from shared.api_keys import Principal, Role
from shared.clock import Jump, jump_of
from shared.contracts import (
    PaymentAuthorized,
    PaymentCaptured,
    ShipmentBooked,
    ShipmentDispatched,
    StockIssued,
    StockReserved,
)
from shared.messaging.envelope import Envelope
from shared.messaging.handling import Handling
from shared.messaging.notifier import Notifier
from tests.component.bench import Bench, open_envelope

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SHIP_TO = {"name": 'Zoë "Z" Ångström', "line1": "1 High Street", "city": "London", "postal_code": "N1", "country": "GB"}
ALICE = Principal(role=Role.CUSTOMER, name="alice")
BOB = Principal(role=Role.CUSTOMER, name="bob")
OPAL = Principal(role=Role.OPERATOR, name="opal")


class HandClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.moment = NOON

    def now(self, connection: Connection) -> datetime:
        return self.moment

    def move(self, **by: float) -> None:
        self.moment += timedelta(**by)


def wanted(key: str = "first", *, body: str = "", customer: str = "alice", **lines: int) -> NewOrder:
    """What a customer sends; one popular lamp if nothing else is said."""
    wishes = [Wish(sku=sku.replace("_", "-"), quantity=quantity) for sku, quantity in lines.items()]
    return NewOrder(
        principal=f"customer:{customer}",
        path="/orders",
        key=key,
        body_hash=body or f"{sorted(lines.items())}",
        customer_id=customer,
        lines=wishes or [Wish(sku="POPULAR-LAMP", quantity=1)],
        ship_to=SHIP_TO,
        payment_token="tok_visa",
    )


class Shop(Bench):
    """The order service and its demo catalog; every call is one transaction of the real thing."""

    def __init__(self, url: str, flows: Flows = WORKFLOWS) -> None:
        super().__init__(SERVICE, url, seed=True)
        self.flows, self.clock = flows, HandClock()
        self.recovered: set[str] = set()
        self.consumer = self.another(Handling(handlers=SERVICE.handlers, load=self.load, due=self.due))
        self.notifier = Notifier(self.database)
        self.commands = Commands(database=self.database, flows=flows, clock=self.clock, notifier=self.notifier)

    def load(self, connection: Connection, facts: Sequence[Any], now: datetime, answers: Any) -> Sagas:
        sagas = Sagas.load(connection, [fact.order_id for fact in facts], self.flows, now, self.jump)
        sagas.recovered = self.recovered
        return sagas

    @property
    def jump(self) -> Jump | None:
        return jump_of(self.clock)

    def due(self, connection: Connection, now: datetime, most: int) -> Sequence[Any]:
        return due(connection, self.flows, now, most, self.recovered, self.jump)

    def terms(self, version: int | None = None) -> Terms:
        return Terms(flow=self.flows[version or max(self.flows)], currency="EUR", approval_from=50_000)

    def place(self, *orders: NewOrder, version: int | None = None) -> list[Outcome]:
        """Place these as one group."""
        with self.database.transaction() as connection:
            return place(connection, self.clock.now(connection), orders, self.terms(version))

    def placed(self, *orders: NewOrder, version: int | None = None) -> list[str]:
        """The ids of new orders; one popular lamp if nothing else is said."""
        outcomes = self.place(*(orders or [wanted()]), version=version)
        assert all(isinstance(each, Placed) for each in outcomes)
        return [each.order_id for each in outcomes if isinstance(each, Placed)]

    def publish(self) -> None:
        """All that is to be said has left."""
        with self.database.transaction() as connection:
            outbox = TABLES.outbox.table
            ids = connection.execute(select(outbox.c.id).where(outbox.c.published_at.is_(None)))
            TABLES.outbox.mark_published(connection, ids.scalars().all(), self.clock.now(connection))

    def tick(self, most: int = 200, *, publishing: bool = True) -> list[Any]:
        """Let time do its work; returns what the service says. If it is publishing, what it said before has left."""
        if publishing:
            self.publish()
        return [open_envelope(each) for each in self.consumer.advance(most)]

    def find(self, order_id: str) -> Order:
        with self.database.reading() as connection:
            record = find_order(connection, order_id)
        assert record is not None
        return record

    def history(self, order_id: str) -> list[Mapping[str, Any]]:
        """The order's whole history; it must be gap-free, and agree with the order and with itself."""
        with self.database.reading() as connection:
            entries = history(connection, order_id, limit=10_000)
        record = self.find(order_id)
        assert [entry["seq"] for entry in entries] == list(range(1, record.version + 1))
        assert entries[-1]["to_status"] == record.status
        for before, after in pairwise(entries):
            assert after["from_status"] == before["to_status"]
        return entries

    def waiting(self) -> list[str]:
        """The types of the messages that are to be published, in alphabetical order."""
        return [kind for (kind,) in self.rows("SELECT type FROM outbox WHERE published_at IS NULL ORDER BY type")]

    def fulfill(self, *order_ids: str) -> None:
        """Bring orders of version 1, that need no approval, to their end."""
        for facts in (authorized_and_reserved, booked, captured, issued_and_dispatched):
            self.deliver(*(fact for order_id in order_ids for fact in facts(order_id)))

    def envelopes(self, *messages: Any) -> list[Envelope]:
        return [self.enclose(each) for each in messages]

    def close(self) -> None:
        self.notifier.close()
        super().close()


def authorized_and_reserved(order_id: str, total: int = 1999) -> list[Any]:
    authorized = PaymentAuthorized(order_id=order_id, authorization_id=f"authorize-{order_id}", authorized=total)
    return [authorized, StockReserved(order_id=order_id)]


def booked(order_id: str) -> list[Any]:
    return [ShipmentBooked(order_id=order_id, carrier="northwind-parcels", tracking_number=f"NW-{order_id[-6:]}")]


def captured(order_id: str) -> list[Any]:
    return [PaymentCaptured(order_id=order_id, captured=1999)]


def issued_and_dispatched(order_id: str) -> list[Any]:
    return [StockIssued(order_id=order_id), ShipmentDispatched(order_id=order_id)]
