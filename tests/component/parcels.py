"""The shipping service on a database, with carriers that misbehave on demand, and their own books as the witness."""

from sqlalchemy import select

from shared.contracts import (
    Address,
    DispatchRequested,
    Line,
    ShipmentBooked,
    ShipmentCancellationRequested,
    ShipmentDispatched,
    ShipmentRequested,
)
from shared.outside.simulator import Conduct
from shipping_service.domain import CARRIERS
from shipping_service.gateway import tracking_number
from shipping_service.store import WORLD
from tests.component.bench import Bench, order_id

NORTHWIND, GLOBEX = CARRIERS
ORDER = order_id(1)
UNDO = ShipmentCancellationRequested(order_id=ORDER)
DISPATCH = DispatchRequested(order_id=ORDER, tracking_number=tracking_number(NORTHWIND, ORDER))
DISPATCHED = ShipmentDispatched(order_id=ORDER, carrier=NORTHWIND, tracking_number=tracking_number(NORTHWIND, ORDER))
DOWN = Conduct(outage=True)
LOST = Conduct(latency_ms=2, timeout_ms=1)  # what is asked is done, and the answer comes too late


def wanted(number: int = 1, country: str = "DE") -> ShipmentRequested:
    """A lamp for somebody in that country."""
    ship_to = Address(name="Ada", line1="1 Main Street", city="Anywhere", postal_code="12345", country=country)
    lines = (Line(sku="POPULAR-LAMP", quantity=1),)
    return ShipmentRequested(order_id=order_id(number), lines=lines, ship_to=ship_to)


def booked(carrier: str, number: int = 1) -> ShipmentBooked:
    order = order_id(number)
    return ShipmentBooked(order_id=order, carrier=carrier, tracking_number=tracking_number(carrier, order))


class Shipping(Bench):
    def conduct(self, **parties: Conduct) -> None:
        """From now on the carriers behave so."""
        with self.database.transaction() as connection:
            for carrier, name in ((NORTHWIND, "northwind"), (GLOBEX, "globex")):
                WORLD.set_conduct(connection, carrier, parties.get(name, Conduct()))

    def books(self) -> dict[str, set[str]]:
        """What each carrier did for order 1, by its own books."""
        done: dict[str, set[str]] = {carrier: set() for carrier in CARRIERS}
        with self.database.reading() as connection:
            for entry in connection.execute(select(WORLD.books).filter_by(order_id=ORDER, approved=True)):
                done[entry.party].add(entry.kind)
        return done

    def holding(self) -> list[str]:
        """The carriers that hold a booking for order 1."""
        return [carrier for carrier, done in self.books().items() if "book" in done and "cancel" not in done]

    def status(self) -> str:
        (row,) = self.rows(f"SELECT status FROM shipments WHERE order_id = '{ORDER}'")
        return str(row[0])
