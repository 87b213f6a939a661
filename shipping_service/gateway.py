"""The carriers: the port that the service asks, and two simulated ones that deliver to different countries."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Protocol

from shared.messaging import Answers, Call
from shared.outside.answers import Approved, Refused, Unreachable
from shared.outside.simulator import Inquiry, Simulator
from shipping_service.domain import CARRIERS, Kind, Shipment

NORTHWIND, GLOBEX = CARRIERS
COVERAGE = {
    NORTHWIND: ("GB", "DE", "FR", "CH"),
    GLOBEX: ("DE", "FR", "US"),
}
FINAL = {"CH": "it is declared to customs already"}  # where a booking cannot be cancelled
PREFIX = {NORTHWIND: "NW", GLOBEX: "GX"}


class Carriers(Protocol):
    """Whoever moves parcels. All calls of a batch are handed over at once, to be made concurrently."""

    def ask(self, calls: Sequence[Call]) -> Answers:
        """Approved, Refused or Unreachable by idempotency key; a call without an answer within NETWORK_TIMEOUT is left
        out. Unreachable tells which intent of the shipment it answers.

        A tracking number has 1 to `bounds.REFERENCE` characters that can be shown; a booking under any other counts as
        in doubt, because the parcel could not be named again. What a refusal says is cut to `bounds.DETAIL`.
        """


class SimulatedCarriers:
    """Answers by country, and remembers every booking."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    def ask(self, calls: Sequence[Call]) -> Answers:
        answers = self.simulator.ask([_inquiry(call) for call in calls])
        away = [call for call in calls if isinstance(answers.get(call.key), Unreachable)]
        return answers | {call.key: Unreachable(call.request[1].intents) for call in away}


def _inquiry(call: Call) -> Inquiry:
    (kind, carrier), shipment = call.request
    assert isinstance(shipment, Shipment)
    country = (shipment.ship_to or {}).get("country", "")
    return Inquiry(key=call.key, party=carrier, order_id=call.order_id, kind=kind, subject=country)


def policy(inquiry: Inquiry, earlier: Mapping[str, bool]) -> Approved | Refused:
    """A carrier's own rules: it carries only what is booked, where it goes, and takes nothing back from the road."""
    booked = earlier.get(Kind.BOOK, False)
    cancelled, dispatched = earlier.get(Kind.CANCEL, False), earlier.get(Kind.DISPATCH, False)
    match inquiry.kind:
        case Kind.BOOK if inquiry.subject in COVERAGE[inquiry.party]:
            return Approved(tracking_number(inquiry.party, inquiry.order_id))
        case Kind.BOOK:
            return Refused(f"does not deliver to {inquiry.subject}")
        case Kind.CANCEL if booked and inquiry.subject in FINAL:
            return Refused(FINAL[inquiry.subject])
        case Kind.CANCEL if booked and not dispatched:
            return Approved(inquiry.key)
        case Kind.DISPATCH if booked and not cancelled:
            return Approved(inquiry.key)
    return Refused(f"nothing to {inquiry.kind}")


def tracking_number(carrier: str, order_id: str) -> str:
    """The same number for the same order, however often it is booked."""
    return f"{PREFIX[carrier]}{hashlib.sha256(order_id.encode()).hexdigest()[:14].upper()}"
