"""The published language: every event that crosses a service boundary, one class each, declared once with its type.

Requests are published by the order service, facts by the participant that they are about. Amounts are integers in minor
units of the deployment's one currency. Unknown fields are ignored when reading.
"""

from typing import Annotated, Any, ClassVar

from msgspec import Meta, Struct

from shared import bounds


class Line(Struct, frozen=True, kw_only=True):
    """One product of an order and how many of it."""

    sku: bounds.Sku
    quantity: bounds.Quantity


Lines = Annotated[tuple[Line, ...], Meta(min_length=1, max_length=100)]


class Address(Struct, frozen=True, kw_only=True):
    """Where a parcel goes; `country` is an ISO 3166 alpha-2 code."""

    name: bounds.Name
    line1: bounds.Name
    city: bounds.Name
    postal_code: bounds.PostalCode
    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}\Z")]


class Event(Struct, frozen=True, kw_only=True):
    """Something said about one order. `order_id` is the saga's id and the correlation id too."""

    type: ClassVar[str]
    version: ClassVar[int] = 1
    producer: ClassVar[str]
    older: ClassVar[Any] = None  # the class of the version before, while it is read: its `newer` makes this one

    order_id: bounds.OrderId


class OrderEvent(Event, frozen=True, kw_only=True):
    producer: ClassVar[str] = "order"


class PaymentEvent(Event, frozen=True, kw_only=True):
    producer: ClassVar[str] = "payment"


class InventoryEvent(Event, frozen=True, kw_only=True):
    producer: ClassVar[str] = "inventory"


class ShippingEvent(Event, frozen=True, kw_only=True):
    producer: ClassVar[str] = "shipping"


class OrderForgotten(OrderEvent, frozen=True, kw_only=True):
    """The order is done with, and whose it was is to be forgotten: remove payment token and address."""

    type: ClassVar[str] = "order.forgotten"


class PaymentRequested(OrderEvent, frozen=True, kw_only=True):
    """Hold `amount` on the card behind `payment_token`."""

    type: ClassVar[str] = "payment.requested"

    amount: bounds.Amount
    currency: bounds.Currency
    payment_token: bounds.Token


class PaymentAuthorized(PaymentEvent, frozen=True, kw_only=True):
    """The amount is held on the card."""

    type: ClassVar[str] = "payment.authorized"

    authorization_id: bounds.Reference
    authorized: bounds.Amount


class PaymentDeclined(PaymentEvent, frozen=True, kw_only=True):
    """Nothing is held; `detail` says why."""

    type: ClassVar[str] = "payment.declined"

    detail: bounds.Detail


class PaymentReversalRequested(OrderEvent, frozen=True, kw_only=True):
    """Give back whatever was taken or held for this order, now and for good."""

    type: ClassVar[str] = "payment.reversal_requested"


class PaymentReversed(PaymentEvent, frozen=True, kw_only=True):
    """An authorization was voided or a capture refunded; both are 0 when nothing had been held."""

    type: ClassVar[str] = "payment.reversed"

    voided: bounds.AmountOrNone
    refunded: bounds.AmountOrNone


class PaymentReversalRefused(PaymentEvent, frozen=True, kw_only=True):
    """The network will not give it back, for good: `detail` says why.

    `held` is held on the card and not taken, `kept` was taken and not given back.
    """

    type: ClassVar[str] = "payment.reversal_refused"

    detail: bounds.Detail
    held: bounds.AmountOrNone
    kept: bounds.AmountOrNone


class CaptureRequested(OrderEvent, frozen=True, kw_only=True):
    """Take the authorized amount."""

    type: ClassVar[str] = "capture.requested"

    authorization_id: bounds.Reference
    amount: bounds.Amount


class PaymentCaptured(PaymentEvent, frozen=True, kw_only=True):
    """The amount was taken."""

    type: ClassVar[str] = "payment.captured"

    captured: bounds.Amount


class CaptureRefused(PaymentEvent, frozen=True, kw_only=True):
    """Nothing was taken; what is held stays held until it is reversed."""

    type: ClassVar[str] = "capture.refused"

    detail: bounds.Detail


class StockRequested(OrderEvent, frozen=True, kw_only=True):
    """Reserve all lines or none."""

    type: ClassVar[str] = "stock.requested"

    lines: Lines


class StockReserved(InventoryEvent, frozen=True, kw_only=True):
    """All lines are set aside."""

    type: ClassVar[str] = "stock.reserved"


class StockUnavailable(InventoryEvent, frozen=True, kw_only=True):
    """Nothing is set aside; `detail` says what is short."""

    type: ClassVar[str] = "stock.unavailable"

    detail: bounds.Detail


class StockReleaseRequested(OrderEvent, frozen=True, kw_only=True):
    """Give back whatever is set aside for this order, now and for good."""

    type: ClassVar[str] = "stock.release_requested"


class StockReleased(InventoryEvent, frozen=True, kw_only=True):
    """Nothing is set aside any more, or ever was."""

    type: ClassVar[str] = "stock.released"


class StockIssueRequested(OrderEvent, frozen=True, kw_only=True):
    """Hand the reserved goods over: they leave the stock for good."""

    type: ClassVar[str] = "stock.issue_requested"


class StockIssued(InventoryEvent, frozen=True, kw_only=True):
    """The goods have left the stock."""

    type: ClassVar[str] = "stock.issued"


class ShipmentRequested(OrderEvent, frozen=True, kw_only=True):
    """Book a parcel with a carrier."""

    type: ClassVar[str] = "shipment.requested"

    lines: Lines
    ship_to: Address


class ShipmentBooked(ShippingEvent, frozen=True, kw_only=True):
    """A carrier will fetch the parcel."""

    type: ClassVar[str] = "shipment.booked"

    carrier: bounds.Carrier
    tracking_number: bounds.Reference


class ShipmentRefused(ShippingEvent, frozen=True, kw_only=True):
    """No carrier takes the parcel; `detail` says what each of them said."""

    type: ClassVar[str] = "shipment.refused"

    detail: bounds.Detail


class ShipmentCancellationRequested(OrderEvent, frozen=True, kw_only=True):
    """Cancel whatever is booked for this order, now and for good."""

    type: ClassVar[str] = "shipment.cancellation_requested"


class ShipmentCancelled(ShippingEvent, frozen=True, kw_only=True):
    """No carrier holds a booking any more, or ever did."""

    type: ClassVar[str] = "shipment.cancelled"


class ShipmentCancellationRefused(ShippingEvent, frozen=True, kw_only=True):
    """The carrier will not cancel, for good, and keeps its booking; `detail` says why."""

    type: ClassVar[str] = "shipment.cancellation_refused"

    detail: bounds.Detail
    carrier: bounds.Carrier
    tracking_number: bounds.Reference


class DispatchRequested(OrderEvent, frozen=True, kw_only=True):
    """Hand the parcel to the carrier that booked it."""

    type: ClassVar[str] = "dispatch.requested"

    tracking_number: bounds.Reference


class ShipmentDispatched(ShippingEvent, frozen=True, kw_only=True, omit_defaults=True):
    """The parcel is with its carrier. (Earlier writers did not say which one.)"""

    type: ClassVar[str] = "shipment.dispatched"

    carrier: bounds.Carrier | None = None
    tracking_number: bounds.Reference | None = None
