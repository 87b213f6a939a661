"""What each request does to a shipment. Each handler goes as far as the answers at hand allow, and may run again."""

from collections.abc import Callable

import msgspec

from shared.contracts import (
    DispatchRequested,
    OrderForgotten,
    ShipmentBooked,
    ShipmentCancellationRefused,
    ShipmentCancellationRequested,
    ShipmentCancelled,
    ShipmentDispatched,
    ShipmentRefused,
    ShipmentRequested,
)
from shared.messaging import Call, Handlers, Unprocessable
from shared.outside.answers import Unreachable
from shared.values import changed
from shipping_service.domain import Ask, Kind, Shipment, Status
from shipping_service.store import Shipments

Request = ShipmentRequested | ShipmentCancellationRequested | DispatchRequested
Undone = ShipmentCancelled | ShipmentCancellationRefused
Fact = ShipmentBooked | ShipmentRefused | ShipmentDispatched | Undone


def book(request: ShipmentRequested, shipments: Shipments) -> Fact | None:
    """Book the parcel with the first carrier that takes it. Nothing is said while none of them surely refuses."""
    ship_to = msgspec.to_builtins(request.ship_to)
    shipment = shipments.find(request.order_id) or Shipment(
        order_id=request.order_id, status=Status.BOOKING, ship_to=ship_to
    )
    if not (shipment.cancelling or shipment.forgotten) and shipment.ship_to != ship_to:
        raise Unprocessable("contradiction: a parcel to another address was asked for before")
    shipment = advance(shipment, shipments)
    if shipment.cancelling:
        return undone(shipment)
    match shipment.status:
        case Status.BOOKING:
            return None
        case Status.REFUSED:
            return ShipmentRefused(order_id=shipment.order_id, detail=shipment.detail or "refused")
    return ShipmentBooked(
        order_id=shipment.order_id,
        carrier=shipment.carrier or "",
        tracking_number=shipment.tracking_number or "",
    )


def cancel(request: ShipmentCancellationRequested, shipments: Shipments) -> Fact | None:
    """Cancel what is or may be booked, for good: a request that comes later is told so and books nothing."""
    shipment = shipments.find(request.order_id) or Shipment(order_id=request.order_id, status=Status.CANCELLED)
    if shipment.status in (Status.DISPATCHING, Status.DISPATCHED):
        raise Unprocessable("dispatched: the parcel is handed over, there is nothing to cancel")
    return undone(advance(changed(shipment, cancelling=True), shipments))


def dispatch(request: DispatchRequested, shipments: Shipments) -> Fact | None:
    """Hand the booked parcel over. Whoever asks again hears the same again; after an undo, that it was cancelled."""
    shipment = shipments.find(request.order_id)
    if shipment is None or shipment.status in (Status.BOOKING, Status.REFUSED):
        raise Unprocessable("dispatch_without_booking: no carrier is known to be booked for this order")
    if not shipment.cancelling:
        if request.tracking_number != shipment.tracking_number:
            raise Unprocessable(f"contradiction: {shipment.tracking_number} is booked for this order")
        if shipment.status is Status.BOOKED:
            shipment = changed(shipment, status=Status.DISPATCHING)
    shipment = advance(shipment, shipments)
    if shipment.cancelling:
        return undone(shipment)
    if shipment.status is not Status.DISPATCHED:
        return None
    return ShipmentDispatched(
        order_id=shipment.order_id, carrier=shipment.carrier, tracking_number=shipment.tracking_number
    )


def forget(request: OrderForgotten, shipments: Shipments) -> None:
    """Remove where the parcel went. Carrier, tracking number and what became of it stay."""
    if shipment := shipments.find(request.order_id):
        shipments.put(shipment.forget())


def undone(shipment: Shipment) -> Undone | None:
    """What is to be said of a shipment that must be cancelled; nothing yet while its carrier has not answered."""
    if shipment.cancellation_refused:
        return ShipmentCancellationRefused(
            order_id=shipment.order_id,
            detail=shipment.detail or "refused",
            carrier=shipment.carrier or "",
            tracking_number=shipment.tracking_number or "",
        )
    return ShipmentCancelled(order_id=shipment.order_id) if shipment.status is Status.CANCELLED else None


def advance(shipment: Shipment, shipments: Shipments) -> Shipment:
    """Move the shipment by every answer that is at hand, note what is asked next, and keep it."""
    while ask := shipment.owed(away(shipment.order_id, shipments)):
        name = ask.key(shipment.order_id)
        if name not in shipments.answers:
            if shipments.intend(name):
                shipment = shipment.intending(ask)
            break
        moved = shipment.heard(ask, shipments.answers[name])
        if moved == shipment:
            break
        shipment = moved
    if shipment.cancelling and shipment.nothing_held:
        shipment = changed(shipment, status=Status.CANCELLED)
    return shipments.put(shipment)


def away(order_id: str, shipments: Shipments) -> Callable[[str], bool]:
    """Tells of a carrier whether it could not be reached just now."""
    return lambda carrier: isinstance(shipments.answers.get(Ask(Kind.BOOK, carrier).key(order_id)), Unreachable)


def call(request: Request, shipments: Shipments) -> Call | None:
    """What the shipment, as this request's handler left it, must still ask of a carrier."""
    shipment = shipments.find(request.order_id)
    ask = shipment.owed(away(shipment.order_id, shipments)) if shipment else None
    if shipment is None or ask is None:
        return None
    return Call(key=ask.key(shipment.order_id), order_id=shipment.order_id, request=(ask, shipment))


HANDLERS: Handlers = {
    ShipmentRequested: book,
    ShipmentCancellationRequested: cancel,
    DispatchRequested: dispatch,
    OrderForgotten: forget,
}
CALLS: Handlers = dict.fromkeys((ShipmentRequested, ShipmentCancellationRequested, DispatchRequested), call)
