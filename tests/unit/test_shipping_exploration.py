"""Every state that one shipment can reach: two workers at once, killed anywhere, calls lost, late or never made.

Breadth-first over the real handlers and the real carriers' rules. What is not real is the database (a row that is read
and written at once) and the network (a call that was not answered may still arrive at any later time).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from msgspec.structs import asdict

from shared.contracts import (
    Address,
    DispatchRequested,
    Line,
    ShipmentBooked,
    ShipmentCancellationRequested,
    ShipmentRequested,
)
from shared.messaging.consumer import Unprocessable
from shared.outside import Answer, Approved, Unreachable
from shared.simulated import Inquiry
from shared.values import changed
from shipping_service.domain import CARRIERS, Ask, Kind, Shipment, Status
from shipping_service.gateway import key, policy, tracking_number
from shipping_service.handlers import CALLS, HANDLERS

ORDER = "00000000-0000-7000-8000-000000000001"
WORKERS = 2
Books = frozenset[tuple[Ask, Answer]]  # what the carriers answered, once and for all


class Worker(NamedTuple):
    """One delivery being worked: what was asked and heard, and the call that is under way."""

    message: Any
    answers: frozenset[tuple[Ask, Answer]]
    asking: Ask
    intent: int  # the number of the intent that this call follows


class State(NamedTuple):
    row: tuple[Any, ...] | None
    books: Books
    late: frozenset[Ask]  # calls that were never answered, and may arrive at any time
    workers: tuple[Worker, ...]


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


class Explorer:
    """All states of one order that goes to one country."""

    def __init__(self, country: str) -> None:
        self.ship_to = {"country": country}
        address = Address(name="Ada", line1="1 Main Street", city="Anywhere", postal_code="1", country=country)
        request = ShipmentRequested(order_id=ORDER, lines=(Line(sku="LAMP", quantity=1),), ship_to=address)
        dispatches = [DispatchRequested(order_id=ORDER, tracking_number=tracking_number(c, ORDER)) for c in CARRIERS]
        self.undo = ShipmentCancellationRequested(order_id=ORDER)
        self.messages = (request, self.undo, *dispatches)

    def row(self, state: State) -> Shipment | None:
        if state.row is None:
            return None
        fields = dict(zip(Shipment.__struct_fields__, state.row, strict=True))
        return Shipment(**{**fields, "carriers": dict(fields["carriers"]), "ship_to": self.ship_to})

    def transact(
        self, state: State, message: Any, answers: frozenset[tuple[Ask, Answer]]
    ) -> tuple[State, Worker | None]:
        """A worker's transaction: the row is read, the handler runs, the row is written; then a call, if one is due."""
        work = Row(self.row(state), {key(ORDER, ask): answer for ask, answer in answers})
        try:
            fact = HANDLERS[type(message)](message, work)
        except Unprocessable:
            return state, None
        call = CALLS[type(message)](message, work)
        state = state._replace(row=frozen(work.shipment))
        if call and call.key not in work.answers:
            ask, shipment = call.request
            return state, Worker(message, answers, ask, shipment.intents)
        if isinstance(fact, ShipmentBooked):
            assert done(state, Kind.BOOK, fact.carrier)
        return state, None

    def arrive(self, books: Books, ask: Ask) -> tuple[Books, Answer]:
        """A call reaches its carrier, whose first answer under each key is for good."""
        known = dict(books)
        if ask not in known:
            earlier = {kind: isinstance(said, Approved) for (kind, carrier), said in books if carrier == ask.carrier}
            country = self.ship_to["country"]
            inquiry = Inquiry(key=key(ORDER, ask), party=ask.carrier, order_id=ORDER, kind=ask.kind, subject=country)
            known[ask] = policy(inquiry, earlier)
        return books | {(ask, known[ask])}, known[ask]

    def successors(self, state: State) -> Iterator[State]:
        for ask in state.late:
            yield state._replace(books=self.arrive(state.books, ask)[0])
        if len(state.workers) < WORKERS:
            for message in self.messages:
                yield self.joined(state.workers, *self.transact(state, message, frozenset()))
        for index, worker in enumerate(state.workers):
            others = state.workers[:index] + state.workers[index + 1 :]
            books, answer = self.arrive(state.books, worker.asking)
            late = state.late | {worker.asking}
            yield state._replace(workers=others)  # killed before the call
            yield state._replace(workers=others, late=late)  # killed during the call
            for heard, world in (
                (answer, state._replace(books=books)),
                (None, state._replace(late=late)),
                (Unreachable(worker.intent), state),
            ):
                answers = worker.answers | {(worker.asking, heard)}
                yield self.joined(others, *self.transact(world, worker.message, answers))

    def joined(self, others: tuple[Worker, ...], state: State, worker: Worker | None) -> State:
        """The state with these workers, with intents counted from the last one, which is 0; all older ones are -1."""
        row = self.row(state)
        last = row.intents if row else 0

        def age(each: Worker) -> Worker:
            answers = {
                (ask, Unreachable(max(answer.intent - last, -1)) if isinstance(answer, Unreachable) else answer)
                for ask, answer in each.answers
            }
            return each._replace(answers=frozenset(answers), intent=max(each.intent - last, -1))

        workers = sorted((age(each) for each in (*others, *([worker] if worker else []))), key=repr)
        return state._replace(row=frozen(row and changed(row, intents=0)), workers=tuple(workers))

    def calmly(self, state: State, message: Any) -> State:
        """The message is worked by one worker whose calls are all answered."""
        answers: frozenset[tuple[Ask, Answer]] = frozenset()
        while True:
            state, worker = self.transact(state._replace(workers=()), message, answers)
            if worker is None:
                return state
            books, answer = self.arrive(state.books, worker.asking)
            state, answers = state._replace(books=books), answers | {(worker.asking, answer)}


def done(state: State, kind: Kind, carrier: str) -> bool:
    """Whether the carrier did it."""
    return isinstance(dict(state.books).get(Ask(kind, carrier)), Approved)


def holding(state: State) -> list[str]:
    """The carriers that hold a booking."""
    return [each for each in CARRIERS if done(state, Kind.BOOK, each) and not done(state, Kind.CANCEL, each)]


@pytest.mark.parametrize("country", ["DE", "GB", "US", "NZ"])
def test_every_reachable_state(country: str) -> None:
    """In every state at most one carrier holds a booking, none when the shipment is cancelled or refused; and from
    every state, unless the parcel has left, one undo whose calls are answered leaves nothing held."""
    explorer = Explorer(country)
    begin = State(None, frozenset(), frozenset(), ())
    seen, edge = {begin}, [begin]
    while edge:
        state = edge.pop()
        held, row = holding(state), explorer.row(state)
        assert len(held) <= 1, state
        if row and row.status in (Status.CANCELLED, Status.REFUSED):
            assert not held, state
        if row is None or row.status not in (Status.DISPATCHING, Status.DISPATCHED):
            calm = explorer.calmly(state, explorer.undo)
            assert explorer.row(calm).status is Status.CANCELLED  # type: ignore[union-attr]
            assert not holding(calm), state
        for after in explorer.successors(state):
            if after not in seen:
                seen.add(after)
                edge.append(after)
    print(f"{country}: {len(seen)} states")
