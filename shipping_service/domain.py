"""What a shipment is, what is known of each carrier, and whom to ask next."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple

from shared.bounds import REFERENCE, is_reference, words
from shared.outside.answers import Answer, Approved, Refused, Unreachable
from shared.values import Value, changed

CARRIERS = ("northwind-parcels", "globex-freight")  # in the order in which they are asked


class Status(StrEnum):
    BOOKING = "booking"  # intent: a carrier may or may not have been asked
    BOOKED = "booked"
    REFUSED = "refused"
    CANCELLED = "cancelled"  # booked no more, or undone before it was asked for
    DISPATCHING = "dispatching"  # intent
    DISPATCHED = "dispatched"


class Kind(StrEnum):
    """What can be asked of a carrier; with the order id and the carrier it makes the idempotency key."""

    BOOK = "book"
    CANCEL = "cancel"
    DISPATCH = "dispatch"


class Trial(StrEnum):
    """How far the booking with one carrier got. A carrier without a trial surely holds nothing, and may be asked."""

    ASKING = "asking"  # intent: one call, of which nothing is known yet
    DOUBTFUL = "doubtful"  # a call was made and not answered: there may be a booking
    REFUSED = "refused"
    BOOKED = "booked"


IN_DOUBT = (Trial.ASKING, Trial.DOUBTFUL)


class Ask(NamedTuple):
    """A question to a carrier."""

    kind: Kind
    carrier: str

    def key(self, order_id: str) -> str:
        """The carrier's idempotency key: the order, the carrier and the kind, never the attempt."""
        return f"{order_id}:{self.carrier}:{self.kind}"


class Shipment(Value, frozen=True, kw_only=True):
    """One order's parcel. Only one carrier at a time may hold a booking: the next is asked when the one before surely
    holds none, because it refused or could not be reached."""

    order_id: str
    status: Status
    ship_to: Mapping[str, str] | None = None
    cancelling: bool = False  # an undo was asked for: from then on nothing new is booked or dispatched
    cancellation_refused: bool = False  # for good: `detail` says why, and the carrier is not asked again
    carriers: Mapping[str, Trial] = {}
    intents: int = 0  # how many bookings were about to be asked for: the number of the last one
    carrier: str | None = None
    tracking_number: str | None = None
    detail: str | None = None

    @property
    def forgotten(self) -> bool:
        """Whether the address was removed: no carrier has to be told it any more."""
        return self.ship_to is None

    def forget(self) -> "Shipment":
        """The shipment without its address, unless a carrier may still have to be told it."""
        return self if self.status is Status.BOOKING else changed(self, ship_to=None)

    @property
    def in_doubt(self) -> str | None:
        """The carrier that may hold a booking without our knowing."""
        return next((carrier for carrier, trial in self.carriers.items() if trial in IN_DOUBT), None)

    @property
    def nothing_held(self) -> bool:
        """Whether it is sure that no carrier holds anything."""
        return self.status is Status.REFUSED or (self.status is Status.BOOKING and not self.in_doubt)

    def owed(self, away: Callable[[str], bool]) -> Ask | None:
        """What must be asked next, and of whom, but for a first booking not of a carrier that is `away` just now. An
        undo asks again what is in doubt, and then takes it back."""
        match self.status:
            case Status.BOOKING if carrier := self.in_doubt:
                return Ask(Kind.BOOK, carrier)
            case Status.BOOKING if not self.cancelling:
                left = (each for each in CARRIERS if each not in self.carriers and not away(each))
                return next((Ask(Kind.BOOK, each) for each in left), None)
            case Status.BOOKED if self.cancelling and self.carrier and not self.cancellation_refused:
                return Ask(Kind.CANCEL, self.carrier)
            case Status.DISPATCHING if self.carrier:
                return Ask(Kind.DISPATCH, self.carrier)
        return None

    def intending(self, ask: Ask) -> "Shipment":
        """The shipment when this is about to be asked: a carrier that never answered an earlier asking is in doubt."""
        if ask.kind is not Kind.BOOK:
            return self
        trial = Trial.DOUBTFUL if ask.carrier in self.carriers else Trial.ASKING
        return changed(self, intents=self.intents + 1)._tried(ask.carrier, trial)

    def heard(self, ask: Ask, answer: Answer) -> "Shipment":
        """The shipment after the carrier's answer, or its silence."""
        carrier = ask.carrier
        match ask.kind, answer:
            case Kind.BOOK, Approved(number) if is_reference(number):
                booked = changed(self, status=Status.BOOKED, carrier=carrier, tracking_number=number, detail=None)
                return booked._tried(carrier, Trial.BOOKED)
            case Kind.BOOK, Approved(number):  # a parcel is booked under a name that nobody can give
                detail = f"{carrier}: a tracking number of {len(number)} characters; {REFERENCE} can be kept"
                return changed(self, detail=detail)._tried(carrier, Trial.DOUBTFUL)
            case Kind.BOOK, Refused(reason):
                detail = f"{self.detail}; {carrier}: {reason}" if self.detail else f"{carrier}: {reason}"
                tried = changed(self, detail=words(detail))._tried(carrier, Trial.REFUSED)
                refused = all(tried.carriers.get(each) is Trial.REFUSED for each in CARRIERS)
                return changed(tried, status=Status.REFUSED) if refused else tried
            case Kind.BOOK, Unreachable(self.intents) if self.carriers.get(carrier) is Trial.ASKING:
                # That was the only call, and it did nothing. (What a slow worker heard of an older one says nothing.)
                return changed(self, carriers={each: t for each, t in self.carriers.items() if each != carrier})
            case Kind.BOOK, _:
                return self._tried(carrier, Trial.DOUBTFUL)
            case Kind.CANCEL, Approved():
                return changed(self, status=Status.CANCELLED)
            case Kind.DISPATCH, Approved():
                return changed(self, status=Status.DISPATCHED)
            case Kind.CANCEL, Refused(reason):
                return changed(self, cancellation_refused=True, detail=words(f"{carrier}: {reason}"))
            case Kind.DISPATCH, Refused(reason):  # it must be done in the end: it stays owed, and an operator sees why
                return changed(self, detail=words(f"{carrier}: {reason}"))
        return self

    def _tried(self, carrier: str, trial: Trial) -> "Shipment":
        return changed(self, carriers={**self.carriers, carrier: trial})
