"""Every state that one payment can reach, and that from each of them an undo leaves nothing held."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from payment_service.domain import Kind, Payment, Status
from payment_service.gateway import PARTY, REFUSED, policy
from payment_service.handlers import CALLS, HANDLERS
from shared.contracts import (
    CaptureRequested,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentRequested,
    PaymentReversalRefused,
    PaymentReversalRequested,
    PaymentReversed,
)
from shared.messaging.handling import Unprocessable
from shared.outside.answers import Answer, Approved, Refused
from shared.outside.simulator import Inquiry
from tests.unit.exploration import ORDER, Answers, Exploration, State, Worker

UNDO = PaymentReversalRequested(order_id=ORDER)
CAPTURE = CaptureRequested(order_id=ORDER, authorization_id=f"authorize-{ORDER}", amount=1999)

# How many states there are. A change of these figures is a change of behavior: look at it, then write it down here.
SIZES = {"tok_visa": 2_362, "tok_declined": 39, "tok_capture_refused": 2_362}
SIZES |= {"tok_void_refused": 2_362, "tok_refund_refused": 2_362}


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


class Paying(Exploration):
    """All states of one order that is paid with one token."""

    def __init__(self, token: str) -> None:
        self.token = token
        request = PaymentRequested(order_id=ORDER, amount=1999, currency="EUR", payment_token=token)
        self.messages = (request, CAPTURE, UNDO)

    def transact(self, state: State, message: Any, answers: Answers) -> tuple[State, Worker | None]:
        """The facts that are said on the way are true, and what is to be given back is never captured anew."""
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
            case PaymentReversalRefused(held=still_held, kept=kept):
                assert held(state)
                assert (still_held, kept) == ((0, 1999) if Kind.CAPTURE in approved(state) else (1999, 0))
        return state, None

    def answer(self, books: Mapping[Kind, Answer], asked: Kind) -> Answer:
        earlier = {kind: isinstance(said, Approved) for kind, said in books.items()}
        name = Payment(order_id=ORDER, status=Status.VOIDED).key(asked)
        return policy(
            Inquiry(key=name, party=PARTY, order_id=ORDER, kind=asked, amount=1999, subject=self.token), earlier
        )


def approved(state: State) -> set[Kind]:
    return {kind for kind, answer in state.books if isinstance(answer, Approved)}


def held(state: State) -> bool:
    """Whether the network holds or keeps any of the customer's money."""
    return Kind.AUTHORIZE in approved(state) and not approved(state) & {Kind.VOID, Kind.REFUND}


def refused(state: State) -> bool:
    """Whether the network has refused for good to give back what it holds or keeps."""
    return any(kind in (Kind.VOID, Kind.REFUND) and isinstance(answer, Refused) for kind, answer in state.books)


@pytest.mark.parametrize("token", SIZES)
def test_every_reachable_state(token: str) -> None:
    """In every state nothing is both voided and captured, and nothing is held when the payment is over; what is to be
    given back is never captured anew; and from every state one undo whose calls are answered leaves nothing held, or
    the network's refusal on the payment."""
    paying, count = Paying(token), 0
    for state in paying.states():
        count += 1
        assert not {Kind.VOID, Kind.CAPTURE} <= approved(state), state
        if state.row and state.row.status in (Status.DECLINED, Status.VOIDED, Status.REFUNDED):
            assert not held(state), state
        assert not (state.row and state.row.reversal_refused) or (held(state) and refused(state))
        calm = paying.calmly(state, UNDO)
        assert calm.row
        if calm.row.reversal_refused:
            assert token in REFUSED
            assert calm.row.status in (Status.AUTHORIZED, Status.CAPTURED)
        else:
            assert calm.row.status in (Status.VOIDED, Status.REFUNDED)
        assert held(calm) == calm.row.reversal_refused, state
    assert count == SIZES[token]
