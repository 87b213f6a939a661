"""The card network: the port that the service asks, and a simulated network whose answers follow from the token."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from payment_service.domain import Kind, Payment
from shared.messaging import Answers, Call
from shared.outside.answers import Approved, Refused
from shared.outside.simulator import Inquiry, Simulator

PARTY = "card_network"
ACCEPTED = ("tok_visa", "tok_mastercard", "tok_amex", "tok_timeout")
LOST_ONCE = frozenset({"tok_timeout"})  # approved, and the first answer to each call is lost on the way back
REFUSED = {  # accepted at first
    "tok_capture_refused": (Kind.CAPTURE, "the issuer withdrew the authorization"),
    "tok_void_refused": (Kind.VOID, "the authorization has expired"),
    "tok_refund_refused": (Kind.REFUND, "the account is closed"),
}
DECLINED = {
    "tok_declined": "the card was declined",
    "tok_insufficient_funds": "insufficient funds",
    "tok_expired": "the card has expired",
}


class CardNetwork(Protocol):
    """Whoever moves the money. All calls of a batch are handed over at once, to be made concurrently."""

    def ask(self, calls: Sequence[Call]) -> Answers:
        """Approved or Refused by idempotency key; a call without an answer within NETWORK_TIMEOUT is left out.

        An authorization's reference has 1 to `bounds.REFERENCE` characters that can be shown; what has not counts as no
        answer, because the money could not be named again. What a refusal says is cut to `bounds.DETAIL`.
        """


class SimulatedCardNetwork:
    """Answers by token, in the manner of payment providers' test cards."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    def ask(self, calls: Sequence[Call]) -> Answers:
        return self.simulator.ask([_inquiry(call) for call in calls])


def _inquiry(call: Call) -> Inquiry:
    kind, payment = call.request
    assert isinstance(kind, Kind)
    assert isinstance(payment, Payment)
    return Inquiry(
        key=call.key,
        party=PARTY,
        order_id=call.order_id,
        kind=kind,
        amount=payment.amount,
        subject=payment.token,
    )


def policy(inquiry: Inquiry, earlier: Mapping[str, bool]) -> Approved | Refused:
    """The network's own rules: nothing is captured that is not held, nothing given back twice."""
    held, captured = earlier.get(Kind.AUTHORIZE, False), earlier.get(Kind.CAPTURE, False)
    reference = f"{inquiry.kind}-{inquiry.order_id}"
    match inquiry.kind:
        case Kind.AUTHORIZE if inquiry.subject in (*ACCEPTED, *REFUSED):
            return Approved(reference)
        case Kind.AUTHORIZE:
            return Refused(DECLINED.get(inquiry.subject, "the token is not known to the network"))
        case Kind.CAPTURE if earlier.get(Kind.VOID):
            return Refused("the authorization was voided")
        case kind if inquiry.subject in REFUSED and kind == REFUSED[inquiry.subject][0]:
            return Refused(REFUSED[inquiry.subject][1])
        case Kind.CAPTURE if held:
            return Approved(reference)
        case Kind.VOID if held and not captured:
            return Approved(reference)
        case Kind.REFUND if captured:
            return Approved(reference)
    return Refused(f"nothing to {inquiry.kind}")
