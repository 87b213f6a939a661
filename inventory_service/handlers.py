"""What inventory does when it is asked: reserve, release, issue. Read the table at the foot first."""

from collections import Counter

from inventory_service.domain import Kind, Reservation, Status, shortage
from inventory_service.store import Reservations
from shared.contracts import (
    InventoryEvent,
    StockIssued,
    StockIssueRequested,
    StockReleased,
    StockReleaseRequested,
    StockRequested,
    StockReserved,
    StockUnavailable,
)
from shared.messaging import Handlers, Unprocessable
from shared.values import changed


def reserve(request: StockRequested, reservations: Reservations) -> InventoryEvent:
    """Set all lines aside, or none. Whoever asked before hears the same again; whoever was released, hears that."""
    reservation = reservations.find(request.order_id)
    lines = Counter[str]()
    for line in request.lines:
        lines[line.sku] += line.quantity
    if reservation is None:
        short = shortage(lines, reservations.stock)
        status = Status.UNAVAILABLE if short else Status.RESERVED
        reservation = Reservation(order_id=request.order_id, status=status, lines=lines, detail=short)
        reservations.put(reservation) if short else reservations.move(reservation, Kind.RESERVED)
    elif reservation.status is not Status.RELEASED and reservation.lines != lines:
        raise Unprocessable("contradiction: other lines were asked for before")
    match reservation.status:
        case Status.RESERVED | Status.ISSUED:
            return StockReserved(order_id=request.order_id)
        case Status.UNAVAILABLE:
            return StockUnavailable(order_id=request.order_id, detail=reservation.detail or "not available")
        case Status.RELEASED:
            return StockReleased(order_id=request.order_id)


def release(request: StockReleaseRequested, reservations: Reservations) -> InventoryEvent:
    """Give back what is held, for good: a request that comes later is told so and holds nothing."""
    reservation = reservations.find(request.order_id)
    match reservation:
        case None:
            reservations.put(Reservation(order_id=request.order_id, status=Status.RELEASED, lines={}))
        case Reservation(status=Status.RESERVED):
            reservations.move(changed(reservation, status=Status.RELEASED), Kind.RELEASED)
        case Reservation(status=Status.UNAVAILABLE):
            reservations.put(changed(reservation, status=Status.RELEASED))
        case Reservation(status=Status.ISSUED):
            raise Unprocessable("issued: the goods have left the stock, there is nothing to release")
    return StockReleased(order_id=request.order_id)


def issue(request: StockIssueRequested, reservations: Reservations) -> InventoryEvent:
    """Hand over what is held: it leaves the stock."""
    reservation = reservations.find(request.order_id)
    match reservation:
        case None | Reservation(status=Status.UNAVAILABLE):
            raise Unprocessable("not_reserved: nothing is held for this order, nothing can be issued")
        case Reservation(status=Status.RELEASED):
            return StockReleased(order_id=request.order_id)
        case Reservation(status=Status.RESERVED):
            reservations.move(changed(reservation, status=Status.ISSUED), Kind.ISSUED)
    return StockIssued(order_id=request.order_id)


HANDLERS: Handlers = {
    StockRequested: reserve,
    StockReleaseRequested: release,
    StockIssueRequested: issue,
}
