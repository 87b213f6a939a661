"""Every state that one payment can reach: two workers at once, killed anywhere, calls lost, late or never made.

Breadth-first over the real handlers and the real network's rules. What is not real is the database (a row that is read
and written at once) and the network (a call that was not answered may still arrive at any later time).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from payment_service.domain import Kind, Payment, Status
from payment_service.gateway import PARTY, policy
from payment_service.handlers import CALLS, HANDLERS, key
from shared.contracts import (
    CaptureRequested,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentRequested,
    PaymentReversalRequested,
    PaymentReversed,
)
from shared.messaging.consumer import Unprocessable
from shared.outside import Answer, Approved, Unreachable
from shared.simulated import Inquiry

ORDER = "00000000-0000-7000-8000-000000000001"
WORKERS = 2
UNDO = PaymentReversalRequested(order_id=ORDER)
CAPTURE = CaptureRequested(order_id=ORDER, authorization_id="1", amount=1999)
Answers = frozenset[tuple[Kind, Answer]]


class Worker(NamedTuple):
    """One delivery being worked: what was heard, and the call that is under way."""

    message: Any
    answers: Answers
    asking: Kind


class State(NamedTuple):
    row: Payment | None
    books: Answers  # what the network answered, once and for all
    late: frozenset[Kind]  # calls that were never answered, and may arrive at any time
    workers: tuple[Worker, ...]


@dataclass
class Row:
    """The unit of work of one message: one row, in memory."""

    payment: Payment | None
    answers: Mapping[str, Answer]

    def find(self, _: str) -> Payment | None:
        return self.payment

    def put(self, payment: Payment) -> Payment:
        self.payment = payment
        return payment


class Explorer:
    """All states of one order that is paid with one token."""

    def __init__(self, token: str) -> None:
        self.token = token
        request = PaymentRequested(order_id=ORDER, amount=1999, currency="EUR", payment_token=token)
        self.messages = (request, CAPTURE, UNDO)

    def transact(self, state: State, message: Any, answers: Answers) -> tuple[State, Worker | None]:
        """A worker's transaction: the row is read, the handler runs, the row is written; then a call, if one is due."""
        named = {f"{ORDER}:{kind}": answer for kind, answer in answers}
        work = Row(state.row, named)
        try:
            fact = HANDLERS[type(message)](message, work)
        except Unprocessable:
            return state, None
        call = CALLS[type(message)](message, work)
        if state.row and state.row.reversing and work.payment:
            assert work.payment.reversing
            assert (work.payment.status is Status.CAPTURING) <= (state.row.status is Status.CAPTURING)
        state = state._replace(row=work.payment)
        if call and call.key not in named:
            return state, Worker(message, answers, call.request[0])
        match fact:
            case PaymentAuthorized():
                assert Kind.AUTHORIZE in approved(state)
            case PaymentCaptured():
                assert Kind.CAPTURE in approved(state)
            case PaymentReversed():
                assert not held(state)
        return state, None

    def arrive(self, books: Answers, kind: Kind) -> tuple[Answers, Answer]:
        """A call reaches the network, whose first answer under each key is for good."""
        known = dict(books)
        if kind not in known:
            earlier = {asked: isinstance(answer, Approved) for asked, answer in books}
            name = key(Payment(order_id=ORDER, status=Status.VOIDED), kind)
            inquiry = Inquiry(key=name, party=PARTY, order_id=ORDER, kind=kind, amount=1999, subject=self.token)
            known[kind] = policy(inquiry, earlier)
        return books | {(kind, known[kind])}, known[kind]

    def successors(self, state: State) -> Iterator[State]:
        for kind in state.late:
            yield state._replace(books=self.arrive(state.books, kind)[0])
        if len(state.workers) < WORKERS:
            for message in self.messages:
                yield joined(state.workers, *self.transact(state, message, frozenset()))
        for index, worker in enumerate(state.workers):
            others = state.workers[:index] + state.workers[index + 1 :]
            books, answer = self.arrive(state.books, worker.asking)
            late = state.late | {worker.asking}
            yield state._replace(workers=others)  # killed before the call
            yield state._replace(workers=others, late=late)  # killed during the call
            for heard, world in (
                (answer, state._replace(books=books)),
                (None, state._replace(late=late)),
                (Unreachable(), state),
            ):
                yield joined(others, *self.transact(world, worker.message, worker.answers | {(worker.asking, heard)}))

    def calmly(self, state: State, message: Any) -> State:
        """The message is worked by one worker whose calls are all answered."""
        answers: Answers = frozenset()
        while True:
            state, worker = self.transact(state._replace(workers=()), message, answers)
            if worker is None:
                return state
            books, answer = self.arrive(state.books, worker.asking)
            state, answers = state._replace(books=books), answers | {(worker.asking, answer)}


def joined(others: tuple[Worker, ...], state: State, worker: Worker | None) -> State:
    return state._replace(workers=tuple(sorted((*others, *([worker] if worker else [])), key=repr)))


def approved(state: State) -> set[Kind]:
    return {kind for kind, answer in state.books if isinstance(answer, Approved)}


def held(state: State) -> bool:
    """Whether the network holds or keeps any of the customer's money."""
    return Kind.AUTHORIZE in approved(state) and not approved(state) & {Kind.VOID, Kind.REFUND}


@pytest.mark.parametrize("token", ["tok_visa", "tok_declined", "tok_capture_refused"])
def test_every_reachable_state(token: str) -> None:
    """In every state nothing is both voided and captured, and nothing is held when the payment is over; what is to be
    given back is never captured anew; and from every state one undo whose calls are answered leaves nothing held."""
    explorer = Explorer(token)
    begin = State(None, frozenset(), frozenset(), ())
    seen, edge = {begin}, [begin]
    while edge:
        state = edge.pop()
        assert not {Kind.VOID, Kind.CAPTURE} <= approved(state), state
        if state.row and state.row.status in (Status.DECLINED, Status.VOIDED, Status.REFUNDED):
            assert not held(state), state
        calm = explorer.calmly(state, UNDO)
        assert calm.row
        assert calm.row.status in (Status.VOIDED, Status.REFUNDED)
        assert not held(calm), state
        for after in explorer.successors(state):
            if after not in seen:
                seen.add(after)
                edge.append(after)
    print(f"{token}: {len(seen)} states")
