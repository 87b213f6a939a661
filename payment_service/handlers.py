"""What each request does to a payment. Each handler goes as far as the answers at hand allow, and may run again."""

from payment_service.domain import Payment, Status
from payment_service.store import Payments
from shared.contracts import (
    CaptureRefused,
    CaptureRequested,
    OrderForgotten,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRequested,
    PaymentReversalRefused,
    PaymentReversalRequested,
    PaymentReversed,
)
from shared.messaging import Call, Handlers, Unprocessable
from shared.values import changed

Undone = PaymentReversed | PaymentReversalRefused
Fact = PaymentAuthorized | PaymentDeclined | PaymentCaptured | CaptureRefused | Undone


def authorize(request: PaymentRequested, payments: Payments) -> Fact | None:
    """Hold the amount, once. Whoever asks again hears the same again; after an undo, that it was undone."""
    payment = payments.find(request.order_id) or Payment(
        order_id=request.order_id,
        status=Status.AUTHORIZING,
        amount=request.amount,
        currency=request.currency,
        token=request.payment_token,
    )
    asked = (request.amount, request.currency, request.payment_token)
    if not (payment.reversing or payment.forgotten) and asked != (payment.amount, payment.currency, payment.token):
        raise Unprocessable(f"contradiction: {payment.amount} {payment.currency} were asked for, by {payment.token}")
    payment = advance(payment, payments)
    match payment.status:
        case Status.AUTHORIZING:
            return None
        case Status.DECLINED:
            return PaymentDeclined(order_id=payment.order_id, detail=payment.detail or "declined")
        case _ if payment.reversing:
            return undone(payment)
    return PaymentAuthorized(
        order_id=payment.order_id, authorization_id=payment.authorization_id or "", authorized=payment.authorized
    )


def capture(request: CaptureRequested, payments: Payments) -> Fact | None:
    """Take what is held, or say that it was refused. Nothing is taken once an undo was asked for."""
    payment = payments.find(request.order_id)
    if payment is None or payment.status in (Status.AUTHORIZING, Status.DECLINED):
        raise Unprocessable("capture_without_authorization: nothing is known to be held for this order")
    known = (payment.authorization_id, payment.amount)
    if not payment.reversing and (request.authorization_id, request.amount) != known:
        raise Unprocessable(f"contradiction: {payment.amount} is held as {payment.authorization_id}")
    if payment.status is Status.AUTHORIZED and not (payment.capture_refused or payment.reversing):
        payment = changed(payment, status=Status.CAPTURING)
    payment = advance(payment, payments)
    match payment.status:
        case Status.CAPTURING:
            return None
        case _ if payment.reversing:
            return undone(payment)
        case Status.CAPTURED:
            return PaymentCaptured(order_id=payment.order_id, captured=payment.captured)
    return CaptureRefused(order_id=payment.order_id, detail=payment.detail or "refused")


def reverse(request: PaymentReversalRequested, payments: Payments) -> Fact | None:
    """Void what is held or refund what was taken, for good: a request that comes later is told so and holds nothing."""
    payment = payments.find(request.order_id) or Payment(order_id=request.order_id, status=Status.VOIDED)
    return undone(advance(changed(payment, reversing=True), payments))


def forget(request: OrderForgotten, payments: Payments) -> None:
    """Remove what tells whose card it was. Amounts, references and the ledger stay."""
    if payment := payments.find(request.order_id):
        payments.put(payment.forget())


def advance(payment: Payment, payments: Payments) -> Payment:
    """Move the payment by every answer that is at hand, and keep it."""
    while (kind := payment.owed()) and (answer := payments.answers.get(payment.key(kind))):
        moved = payment.heard(kind, answer)
        if moved == payment:
            break
        payment = moved
    if payment.reversing and payment.status is Status.DECLINED:  # nothing is held, and from now on nothing will be
        payment = changed(payment, status=Status.VOIDED)
    return payments.put(payment)


def undone(payment: Payment) -> Undone | None:
    """What is to be said of a payment that must be given back; nothing yet while the network has not answered."""
    if payment.reversal_refused:
        return PaymentReversalRefused(
            order_id=payment.order_id,
            detail=payment.detail or "refused",
            held=payment.authorized - payment.captured,
            kept=payment.captured,
        )
    if payment.status not in (Status.VOIDED, Status.REFUNDED):
        return None
    return PaymentReversed(order_id=payment.order_id, voided=payment.voided, refunded=payment.refunded)


def call(request: PaymentRequested | CaptureRequested | PaymentReversalRequested, payments: Payments) -> Call | None:
    """What the payment, as this request's handler left it, must still ask of the network."""
    payment = payments.find(request.order_id)
    kind = payment.owed() if payment else None
    if payment is None or kind is None:
        return None
    return Call(key=payment.key(kind), order_id=payment.order_id, request=(kind, payment))


HANDLERS: Handlers = {
    PaymentRequested: authorize,
    CaptureRequested: capture,
    PaymentReversalRequested: reverse,
    OrderForgotten: forget,
}
CALLS: Handlers = dict.fromkeys((PaymentRequested, CaptureRequested, PaymentReversalRequested), call)
