"""A language for what an order hears and does: `given(placed, reserved).when(declined).then(StockReleaseRequested)`."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from order_service.fulfillment.decide import Decision, decide
from order_service.fulfillment.inputs import (
    ApprovalGranted,
    ApprovalRefused,
    CancellationRequested,
    OrderPlaced,
    ReversalRequested,
    Tick,
)
from order_service.fulfillment.saga import Heard, OrderStatus, Saga, Workflow
from order_service.fulfillment.workflow import FULFILLMENT
from shared.contracts import (
    CaptureRefused,
    Event,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentReversalRefused,
    PaymentReversed,
    ShipmentBooked,
    ShipmentCancellationRefused,
    ShipmentCancelled,
    ShipmentDispatched,
    ShipmentRefused,
    StockIssued,
    StockReleased,
    StockReserved,
    StockUnavailable,
)

ID = "01900000-0000-7000-8000-00000000002a"
FACTS: dict[str, Any] = {
    "order_id": ID,
    "amount": 89_90,
    "currency": "EUR",
    "payment_token": "tok_visa",
    "lines": [{"sku": "POPULAR-LAMP", "quantity": 2}],
    "ship_to": {
        "name": "Ada Lovelace",
        "line1": "12 St James's Square",
        "city": "London",
        "postal_code": "SW1Y 4JH",
        "country": "GB",
    },
    "needs_approval": False,
}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

placed = OrderPlaced()
cancelled = CancellationRequested(by="customer", note="changed my mind")
granted, refused = ApprovalGranted(note="a good customer"), ApprovalRefused(note="too much")
reversed_by_operator = ReversalRequested(step="capture", note="the customer called")
tick = Tick()

authorized = PaymentAuthorized(order_id=ID, authorization_id="AUTH-1", authorized=89_90)
declined = PaymentDeclined(order_id=ID, detail="insufficient funds")
voided = PaymentReversed(order_id=ID, voided=89_90, refunded=0)
refunded = PaymentReversed(order_id=ID, voided=0, refunded=89_90)
void_refused = PaymentReversalRefused(order_id=ID, detail="the authorization expired", held=89_90, kept=0)
refund_refused = PaymentReversalRefused(order_id=ID, detail="the account is closed", held=0, kept=89_90)
reserved = StockReserved(order_id=ID)
unavailable = StockUnavailable(order_id=ID, detail="POPULAR-LAMP: 2 wanted, 1 left")
released = StockReleased(order_id=ID)
booked = ShipmentBooked(order_id=ID, carrier="Albatross", tracking_number="ALB-7")
undeliverable = ShipmentRefused(order_id=ID, detail="no carrier goes there")
unbooked = ShipmentCancelled(order_id=ID)
cancel_refused = ShipmentCancellationRefused(
    order_id=ID, detail="it is in the van", carrier="Albatross", tracking_number="ALB-7"
)
captured = PaymentCaptured(order_id=ID, captured=89_90)
capture_refused = CaptureRefused(order_id=ID, detail="the authorization expired")
issued = StockIssued(order_id=ID)
dispatched = ShipmentDispatched(order_id=ID, carrier="Albatross", tracking_number="ALB-7")

# What cannot be true of this order.
LIES: dict[str, Event] = {
    "payment": PaymentAuthorized(order_id=ID, authorization_id="AUTH-1", authorized=1),
    "capture": PaymentCaptured(order_id=ID, captured=1),
    "voided": PaymentReversed(order_id=ID, voided=1, refunded=0),
    "refused": PaymentReversalRefused(order_id=ID, detail="we keep a part", held=1, kept=0),
    "dispatch": ShipmentDispatched(order_id=ID, carrier="Albatross", tracking_number="ALB-8"),
}

FACTS_HEARD = (
    *(authorized, declined, voided, refunded, reserved, unavailable, released, booked, undeliverable, unbooked),
    *(captured, capture_refused, issued, dispatched, void_refused, refund_refused, cancel_refused),
)
TO_CAPTURE = (placed, authorized, reserved, booked)
TO_THE_END = (*TO_CAPTURE, captured, issued, dispatched)

STEP = FULFILLMENT.named

# Another version, as one may come: it holds the money only when the goods are reserved, and knows no approval.
PREPAID = Workflow(
    name="fulfillment",
    version=2,
    given=FULFILLMENT.given,
    steps=(
        STEP["inventory"],
        replace(STEP["payment"], after=("inventory",)),
        replace(STEP["shipping"], after=("payment",)),
        STEP["capture"],
        replace(STEP["dispatch"], after=("capture",)),
        replace(STEP["issue"], after=("dispatch",)),
    ),
    milestones=(
        (OrderStatus.FULFILLED, ("issue",)),
        (OrderStatus.PAID, ("capture",)),
        (OrderStatus.CONFIRMED, ("inventory", "payment")),
    ),
)

Story = Heard | timedelta  # what is heard, or that much time passing without a word


def wait(**length: float) -> timedelta:
    return timedelta(**length)


@dataclass(frozen=True)
class Scenario:
    """An order after a story, and what it decided since the last `when`."""

    flow: Workflow
    saga: Saga
    now: datetime = NOON
    decisions: tuple[Decision, ...] = field(default=())

    def hears(self, *story: Story) -> "Scenario":
        told = self
        for part in story:
            now = told.now + part if isinstance(part, timedelta) else told.now
            decision = decide(told.flow, told.saga, tick if isinstance(part, timedelta) else part, now)
            told = replace(told, saga=decision.saga, now=now, decisions=(*told.decisions, decision))
        return told

    def when(self, *story: Story) -> "Scenario":
        return replace(self, decisions=()).hears(*story)

    @property
    def sent(self) -> list[Event]:
        return [message for decision in self.decisions for message in decision.messages]

    @property
    def status(self) -> str:
        return self.saga.status(self.flow)

    @property
    def problems(self) -> dict[str, str]:
        """Why which step needs a person."""
        return {step.name: why for step in self.flow.steps if (why := self.saga.problem(step))}

    def then(
        self,
        *messages: type[Event],
        status: str | None = None,
        reason: str | None = None,
        noted: str | None = None,
        **steps: str,
    ) -> "Scenario":
        """Exactly these messages were sent, in this order, and the order is as told; `noted`: only that, no act."""
        assert [type(message) for message in self.sent] == list(messages)
        assert {name: self.saga.steps[name].status.value for name in steps} == steps
        assert status is None or self.status == status
        assert reason is None or self.saga.reason == reason
        if noted is not None:
            assert self.decisions[-1].history[0].outcome == f"noted: {noted}"
            assert not self.decisions[-1].acted
        return self


def given(*story: Story, flow: Workflow = FULFILLMENT, **facts: Any) -> Scenario:
    return Scenario(flow, Saga.start(flow, FACTS | facts)).hears(*story).when()
