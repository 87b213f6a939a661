"""The fulfillment workflow, as data. The page to read first; `saga.py` has the words, `decide.py` the rules."""

from datetime import timedelta

from order_service.fulfillment.inputs import ApprovalGranted, ApprovalRefused
from order_service.fulfillment.saga import Facts, Kind, OrderStatus, Reason, Step, Workflow
from shared.contracts import (
    CaptureRefused,
    CaptureRequested,
    DispatchRequested,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRequested,
    PaymentReversalRefused,
    PaymentReversalRequested,
    PaymentReversed,
    ShipmentBooked,
    ShipmentCancellationRefused,
    ShipmentCancellationRequested,
    ShipmentCancelled,
    ShipmentDispatched,
    ShipmentRefused,
    ShipmentRequested,
    StockIssued,
    StockIssueRequested,
    StockReleased,
    StockReleaseRequested,
    StockRequested,
    StockReserved,
    StockUnavailable,
)

SECONDS_30, SECONDS_60, DAYS_2 = timedelta(seconds=30), timedelta(seconds=60), timedelta(days=2)
COMPENSATABLE, PIVOT, RETRIABLE = Kind


def money_agrees(facts: Facts) -> bool:
    """What was held and taken is the order's amount; what was given back, or could not be, is all that was held."""
    amount = facts["amount"]
    held, taken = facts.get("authorized"), facts.get("captured")
    ends = [(facts[a], facts[b]) for a, b in (("voided", "refunded"), ("held", "kept")) if a in facts]
    return (
        held in (amount, None)
        and taken in (amount, None)
        and all(end in ((amount, 0), (0, amount), (0, 0)) for end in ends)
        and all(sum(end) == amount for end in ends if held or taken)
        and all(end[1] == amount for end in ends if taken)
    )


# Of each step, too, what is told again must be what was told before: the parcel that leaves is the one that was booked.

# fmt: off
FULFILLMENT = Workflow(name="fulfillment", version=1, steps=(
    Step("payment",   COMPENSATABLE, PaymentRequested, PaymentAuthorized, PaymentDeclined, Reason.PAYMENT_DECLINED,
         undo=PaymentReversalRequested, undone=PaymentReversed, undo_refused=PaymentReversalRefused,
         agrees=money_agrees, timeout=SECONDS_30, attempts=3),
    Step("inventory", COMPENSATABLE, StockRequested, StockReserved, StockUnavailable, Reason.OUT_OF_STOCK,
         undo=StockReleaseRequested, undone=StockReleased, timeout=SECONDS_30, attempts=3),
    Step("approval",  COMPENSATABLE, None, ApprovalGranted, ApprovalRefused, Reason.APPROVAL_REFUSED,
         after=("payment", "inventory"), when="needs_approval",
         timeout=DAYS_2, attempts=1, silence=Reason.APPROVAL_EXPIRED),
    Step("shipping",  COMPENSATABLE, ShipmentRequested, ShipmentBooked, ShipmentRefused, Reason.UNDELIVERABLE,
         undo=ShipmentCancellationRequested, undone=ShipmentCancelled, undo_refused=ShipmentCancellationRefused,
         after=("approval",), timeout=SECONDS_60, attempts=3),
    Step("capture",   PIVOT,         CaptureRequested, PaymentCaptured, CaptureRefused, Reason.CAPTURE_REFUSED,
         agrees=money_agrees, after=("shipping",), timeout=SECONDS_30, attempts=5),
    Step("issue",     RETRIABLE,     StockIssueRequested, StockIssued,
         after=("capture",), timeout=SECONDS_30, attempts=10),
    Step("dispatch",  RETRIABLE,     DispatchRequested, ShipmentDispatched,
         after=("capture",), timeout=SECONDS_60, attempts=10),
), milestones=(
    (OrderStatus.FULFILLED, ("issue", "dispatch")),
    (OrderStatus.PAID,      ("capture",)),
    (OrderStatus.CONFIRMED, ("payment", "inventory", "approval")),
), given=("order_id", "amount", "currency", "payment_token", "lines", "ship_to", "needs_approval"))
# fmt: on

WORKFLOWS = {1: FULFILLMENT}  # a running saga keeps the version that it began with


def newest() -> Workflow:
    """The version that new orders begin with."""
    return WORKFLOWS[max(WORKFLOWS)]


def amounts(facts: Facts) -> dict[str, int]:
    """What was authorized, captured, voided and refunded so far, in minor units.

    What was refunded had been captured, and that authorized, even when the message that should have said so was lost;
    and so had what could not be given back.
    """
    voided, refunded = facts.get("voided", 0), facts.get("refunded", 0)
    captured = max(facts.get("captured", 0), refunded, facts.get("kept", 0))
    authorized = max(facts.get("authorized", 0), captured, voided, facts.get("held", 0))
    return {"authorized": authorized, "captured": captured, "voided": voided, "refunded": refunded}
