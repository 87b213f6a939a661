"""Every state that one shipment can reach, and that from each of them an undo leaves nothing held."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from msgspec.structs import asdict

from shared.contracts import (
    Address,
    DispatchRequested,
    Line,
    ShipmentBooked,
    ShipmentCancellationRefused,
    ShipmentCancellationRequested,
    ShipmentRequested,
)
from shared.messaging.handling import Unprocessable
from shared.outside.answers import Answer, Approved, Unreachable
from shared.outside.simulator import Inquiry
from shared.values import changed
from shipping_service.domain import CARRIERS, Ask, Kind, Shipment, Status
from shipping_service.gateway import FINAL, policy, tracking_number
from shipping_service.handlers import CALLS, HANDLERS
from tests.unit.exploration import ORDER, Answers, Exploration, State, Worker

# How many states there are. A change of these figures is a change of behavior: look at it, then write it down here.
LARGE = 4_000
SIZES = {"DE": 1_728, "GB": 4_861, "US": 4_913, "NZ": 918, "CH": 4_861}


@dataclass
class Row:
    """The unit of work of one message: one row, in memory."""

    shipment: Shipment | None
    answers: Mapping[str, Answer]

    def find(self, _: str) -> Shipment | None:
        return self.shipment

    def put(self, shipment: Shipment) -> Shipment:
        self.shipment = shipment
        return shipment

    def intend(self, _: str) -> bool:
        return True  # one message a transaction, so that each intent is the first


def frozen(shipment: Shipment | None) -> tuple[Any, ...] | None:
    if shipment is None:
        return None
    fields = {**asdict(shipment), "carriers": tuple(sorted(shipment.carriers.items())), "ship_to": None}
    return tuple(fields.values())


class Sending(Exploration):
    """All states of one order that goes to one country."""

    def __init__(self, country: str) -> None:
        address = Address(name="Ada", line1="1 Main Street", city="Anywhere", postal_code="1", country=country)
        self.ship_to = msgspec.to_builtins(address)
        request = ShipmentRequested(order_id=ORDER, lines=(Line(sku="LAMP", quantity=1),), ship_to=address)
        dispatches = [DispatchRequested(order_id=ORDER, tracking_number=tracking_number(c, ORDER)) for c in CARRIERS]
        self.undo = ShipmentCancellationRequested(order_id=ORDER)
        self.messages = (request, self.undo, *dispatches)

    def row(self, state: State) -> Shipment | None:
        if state.row is None:
            return None
        fields = dict(zip(Shipment.__struct_fields__, state.row, strict=True))
        return Shipment(**{**fields, "carriers": dict(fields["carriers"]), "ship_to": self.ship_to})

    def transact(self, state: State, message: Any, answers: Answers) -> tuple[State, Worker | None]:
        """A shipment that is said to be booked is booked."""
        work = Row(self.row(state), {ask.key(ORDER): answer for ask, answer in answers})
        try:
            fact = HANDLERS[type(message)](message, work)
        except Unprocessable:
            return state, None
        call = CALLS[type(message)](message, work)
        state = state._replace(row=frozen(work.shipment))
        if call and call.key not in work.answers:
            ask, shipment = call.request
            return state, Worker(message, answers, ask, shipment.intents)
        if isinstance(fact, ShipmentBooked | ShipmentCancellationRefused):
            assert done(state, Kind.BOOK, fact.carrier)
            assert fact.tracking_number == tracking_number(fact.carrier, ORDER)
        return state, None

    def answer(self, books: Mapping[Ask, Answer], asked: Ask) -> Answer:
        earlier = {
            kind: isinstance(said, Approved) for (kind, carrier), said in books.items() if carrier == asked.carrier
        }
        name, country = asked.key(ORDER), self.ship_to["country"]
        return policy(Inquiry(key=name, party=asked.carrier, order_id=ORDER, kind=asked.kind, subject=country), earlier)

    def alike(self, state: State) -> State:
        """Intents are counted from the last one, which is 0; all older ones are -1."""
        row = self.row(state)
        last = row.intents if row else 0

        def age(each: Worker) -> Worker:
            answers = {
                (ask, Unreachable(max(answer.intent - last, -1)) if isinstance(answer, Unreachable) else answer)
                for ask, answer in each.answers
            }
            return each._replace(answers=frozenset(answers), intent=max(each.intent - last, -1))

        return state._replace(row=frozen(row and changed(row, intents=0)), workers=tuple(map(age, state.workers)))


def done(state: State, kind: Kind, carrier: str) -> bool:
    """Whether the carrier did it."""
    return isinstance(dict(state.books).get(Ask(kind, carrier)), Approved)


def holding(state: State) -> list[str]:
    """The carriers that hold a booking."""
    return [each for each in CARRIERS if done(state, Kind.BOOK, each) and not done(state, Kind.CANCEL, each)]


@pytest.mark.parametrize(
    "country", [pytest.param(each, marks=pytest.mark.slow) if SIZES[each] > LARGE else each for each in SIZES]
)
def test_every_reachable_state(country: str) -> None:
    """In every state at most one carrier holds a booking, none when the shipment is cancelled or refused; and from
    every state, unless the parcel has left, one undo whose calls are answered leaves nothing held, or the carrier's
    refusal on the shipment."""
    sending, count = Sending(country), 0
    for state in sending.states():
        count += 1
        held, row = holding(state), sending.row(state)
        assert len(held) <= 1, state
        if row and row.status in (Status.CANCELLED, Status.REFUSED):
            assert not held, state
        if row is None or row.status not in (Status.DISPATCHING, Status.DISPATCHED):
            calm = sending.calmly(state, sending.undo)
            undone = sending.row(calm)
            assert undone
            assert undone.status is (Status.BOOKED if undone.cancellation_refused else Status.CANCELLED)
            assert bool(holding(calm)) == undone.cancellation_refused, state
            assert not undone.cancellation_refused or country in FINAL
    assert count == SIZES[country]
