"""What a payment is and how it moves. Amounts are integers in minor units."""

from enum import StrEnum

from shared.bounds import REFERENCE, is_reference, words
from shared.outside.answers import Answer, Approved, Refused
from shared.values import Value, changed


class Status(StrEnum):
    AUTHORIZING = "authorizing"  # intent: the network may or may not have been asked
    AUTHORIZED = "authorized"
    DECLINED = "declined"
    CAPTURING = "capturing"  # intent
    CAPTURED = "captured"
    VOIDED = "voided"  # given back before capture, or undone before it was asked for
    REFUNDED = "refunded"


class Kind(StrEnum):
    """What can be asked of the card network; with the order id it makes the idempotency key."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"


class Payment(Value, frozen=True, kw_only=True):
    """One order's payment. What was authorized, captured, voided and refunded only ever grows from 0 to the amount."""

    order_id: str
    status: Status
    amount: int = 0
    currency: str = ""
    token: str = ""
    authorization_id: str | None = None
    detail: str | None = None
    capture_refused: bool = False
    reversing: bool = False  # an undo was asked for: from then on nothing new is captured
    reversal_refused: bool = False  # for good: `detail` says why, and the network is not asked again
    authorized: int = 0
    captured: int = 0
    voided: int = 0
    refunded: int = 0

    @property
    def forgotten(self) -> bool:
        """Whether the token was removed: nothing that is still to be done needs it."""
        return not self.token

    def forget(self) -> "Payment":
        """The payment without its token, unless the network may still have to be asked with it."""
        return self if self.status is Status.AUTHORIZING else changed(self, token="")

    def owed(self) -> Kind | None:
        """What the network must be asked next. An undo first asks again what is in doubt, then takes it back."""
        match self.status:
            case Status.AUTHORIZING:
                return Kind.AUTHORIZE
            case Status.CAPTURING:
                return Kind.CAPTURE
            case Status.AUTHORIZED if self.reversing and not self.reversal_refused:
                return Kind.VOID
            case Status.CAPTURED if self.reversing and not self.reversal_refused:
                return Kind.REFUND
        return None

    def key(self, kind: Kind) -> str:
        """The network's idempotency key: the order and the kind, never the attempt."""
        return f"{self.order_id}:{kind}"

    def heard(self, kind: Kind, answer: Answer) -> "Payment":
        """The payment after the network's answer to what was `owed`."""
        match kind, answer:
            case Kind.AUTHORIZE, Approved(reference) if is_reference(reference):
                return changed(
                    self, status=Status.AUTHORIZED, authorization_id=reference, authorized=self.amount, detail=None
                )
            case Kind.AUTHORIZE, Approved(reference):  # money is held under a name that nobody can give: in doubt
                return changed(self, detail=f"an authorization of {len(reference)} characters; {REFERENCE} can be kept")
            case Kind.AUTHORIZE, Refused(detail):
                return changed(self, status=Status.DECLINED, detail=words(detail))
            case Kind.CAPTURE, Approved():
                return changed(self, status=Status.CAPTURED, captured=self.amount)
            case Kind.CAPTURE, Refused(detail):
                return changed(self, status=Status.AUTHORIZED, capture_refused=True, detail=words(detail))
            case Kind.VOID, Approved():
                return changed(self, status=Status.VOIDED, voided=self.amount)
            case Kind.REFUND, Approved():
                return changed(self, status=Status.REFUNDED, refunded=self.amount)
            case Kind.VOID | Kind.REFUND, Refused(detail):
                return changed(self, reversal_refused=True, detail=words(detail))
        return self  # no answer: it stays owed and is asked again
