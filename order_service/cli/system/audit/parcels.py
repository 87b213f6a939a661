"""The shipping service's books: each shipment against what the carriers' own books say."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection, select

from order_service.cli.system.audit.reading import OrderId, Violation, outside_books, table

_shipments, _books = table("shipping", "shipments"), outside_books("shipping")


class Shipment(NamedTuple):
    status: str
    carrier: str | None
    tracking_number: str | None
    cancelling: bool = False


@dataclass
class Parcels:
    shipments: dict[OrderId, Shipment] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    carriers: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # by carrier, by kind
    violations: list[Violation] = field(default_factory=list)


def read_parcels(connection: Connection) -> Parcels:
    """All shipments, what the carriers did, and where they differ."""
    parcels = Parcels()
    columns = [_shipments.c[name] for name in Shipment._fields]
    for order_id, status, *others in connection.execute(select(_shipments.c.order_id, *columns)):
        parcels.shipments[order_id] = Shipment(status, *others)
        parcels.statuses[status] += 1
    done: dict[OrderId, dict[str, set[str]]] = defaultdict(dict)
    approved = select(_books.c.order_id, _books.c.party, _books.c.kind).where(_books.c.approved)
    for order_id, carrier, kind in connection.execute(approved):
        parcels.carriers[carrier][kind] += 1
        done[order_id].setdefault(carrier, set()).add(kind)
    parcels.violations = [*_compare(parcels, done), *_misnumbered(connection)]
    return parcels


def _compare(parcels: Parcels, done: dict[OrderId, dict[str, set[str]]]) -> Iterator[Violation]:
    for order_id, shipment in parcels.shipments.items():
        by_carrier = done.get(order_id, {})
        under_way = {carrier for carrier, kinds in by_carrier.items() if "book" in kinds and "cancel" not in kinds}
        expected = {shipment.carrier} if shipment.status in ("booked", "dispatching", "dispatched") else set()
        # What was asked for may be done already; an order that has ended so is a difference of its own.
        cancelled = shipment.status == "booked" and shipment.cancelling and not under_way
        if under_way != expected and shipment.status != "booking" and not cancelled:
            yield Violation("shipping", order_id, f"{shipment.status} with {expected}, but {under_way} carry it")
        if shipment.status == "dispatched" and "dispatch" not in by_carrier.get(shipment.carrier or "", ()):
            yield Violation("shipping", order_id, f"dispatched, but {shipment.carrier} never did")
        for carrier, kinds in by_carrier.items():
            if "dispatch" in kinds and shipment.status not in ("dispatching", "dispatched"):
                yield Violation("shipping", order_id, f"{shipment.status}, but {carrier} has dispatched it")
    for order_id in done.keys() - parcels.shipments.keys():
        yield Violation("carriers", order_id, "a parcel that the shipping service does not know")


def _misnumbered(connection: Connection) -> Iterator[Violation]:
    """The tracking number is the one that the carrier gave."""
    booked = (_books.c.order_id == _shipments.c.order_id) & (_books.c.party == _shipments.c.carrier) & _books.c.approved
    numbers = (
        select(_shipments.c.order_id, _shipments.c.tracking_number, _books.c.text)
        .join(_books, booked & (_books.c.kind == "book"))
        .where(_books.c.text != _shipments.c.tracking_number)
    )
    for order_id, ours, theirs in connection.execute(numbers):
        yield Violation("shipping", order_id, f"parcel {ours}, but {theirs} by the carrier")
