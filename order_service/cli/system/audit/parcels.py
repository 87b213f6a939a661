"""The shipping service's books: each shipment against what the carriers' own books say."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from order_service.cli.system.audit.reading import OrderId, Span, outside_books, rows_of, table
from order_service.cli.system.audit.violations import Broken, Violation

_shipments, _books = table("shipping", "shipments"), outside_books("shipping")

CARRIED = ("booked", "dispatching", "dispatched")
SHOWN = ("status", "cancelling", "cancellation_refused", "carrier", "tracking_number")


@dataclass
class Shipment:
    """What is known of one order's parcel."""

    row: Mapping[str, Any] | None = None
    books: list[Mapping[str, Any]] = field(default_factory=list)  # what the carriers approved

    @property
    def status(self) -> str:
        return str(self.row["status"]) if self.row else "none"

    @property
    def carrier(self) -> str | None:
        return self.row["carrier"] if self.row else None

    @property
    def tracking_number(self) -> str | None:
        return self.row["tracking_number"] if self.row else None

    @property
    def done(self) -> dict[str, dict[str, Mapping[str, Any]]]:
        """The entry of each kind, by carrier."""
        found: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
        for entry in self.books:
            found[entry["party"]][entry["kind"]] = entry
        return dict(found)

    @property
    def under_way(self) -> set[str]:
        """The carriers that have the parcel, by their own books."""
        return {carrier for carrier, kinds in self.done.items() if "book" in kinds and "cancel" not in kinds}

    @property
    def sent_by(self) -> set[str]:
        return {carrier for carrier, kinds in self.done.items() if "dispatch" in kinds}

    @property
    def sent_at(self) -> Any:
        return next((entry["at"] for entry in self.books if entry["kind"] == "dispatch"), None)

    def tables(self) -> dict[str, Any]:
        """The rows, for people."""
        row = {name: self.row[name] for name in SHOWN} if self.row else None
        entries = [{name: entry[name] for name in ("party", "kind", "text", "at")} for entry in self.books]
        return {"shipping.shipments": row, "shipping.carrier_books": entries}


def read_parcels(connection: Connection, span: Span) -> dict[OrderId, Shipment]:
    """The parcels of the orders of this span."""
    found: dict[OrderId, Shipment] = defaultdict(Shipment)
    for row in rows_of(connection, _shipments, span):
        found[row["order_id"]].row = row
    for row in rows_of(connection, _books, span, _books.c.approved):
        found[row["order_id"]].books.append(row)
    return dict(found)


def check_shipment(order_id: OrderId, shipment: Shipment) -> Iterator[Violation]:
    """Both books of one order's parcel, held together."""

    def violation(broken: Broken, what: str) -> Violation:
        return Violation(broken, order_id, what, shipment.tables())

    status, carrier, under_way = shipment.status, shipment.carrier, shipment.under_way
    if len(under_way) > 1:
        yield violation(Broken.BOOKED_TWICE, f"{', '.join(sorted(under_way))} carry it")
        return
    expected = {carrier} if status in CARRIED else set()
    # What was asked for may be done already; an order that has ended so is a violation of its own.
    cancelled = status == "booked" and shipment.row and shipment.row["cancelling"] and not under_way
    if under_way != expected and status != "booking" and not cancelled:
        yield violation(Broken.CARRIER_DIFFERS, f"{status} with {_all(expected)}, but {_all(under_way)} carries it")
        return
    sent = {carrier} if status == "dispatched" else set()
    if shipment.sent_by != sent and status != "dispatching":
        yield violation(Broken.CARRIER_DIFFERS, f"{status}, but sent by {_all(shipment.sent_by)}")
    number = shipment.done.get(carrier or "", {}).get("book")
    if status in CARRIED and number and number["text"] != shipment.tracking_number:
        what = f"parcel {shipment.tracking_number}, but {number['text']} by {carrier}"
        yield violation(Broken.TRACKING_DIFFERS, what)


def _all(carriers: set[Any]) -> str:
    return ", ".join(sorted(map(str, carriers))) or "nobody"
