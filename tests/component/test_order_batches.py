"""Facts in batches: each order's saga hears its own, in order, and all is written by a handful of statements."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from order_service.fulfillment.saga import OrderStatus, StepStatus
from order_service.fulfillment.workflow import FULFILLMENT, WORKFLOWS
from order_service.handlers import HANDLERS
from shared.clock import DatabaseClock
from shared.contracts import (
    CaptureRequested,
    DispatchRequested,
    PaymentDeclined,
    ShipmentDispatched,
    ShipmentRequested,
    StockIssued,
    StockIssueRequested,
    StockReserved,
)
from shared.database import DatabaseError
from shared.messaging.handling import Stop
from tests.component.bench import order_id
from tests.component.orders import (
    NOON,
    Shop,
    authorized_and_reserved,
    booked,
    captured,
    issued_and_dispatched,
    wanted,
)
from tests.unit.order.scenario import PREPAID

VERSIONS = {1: FULFILLMENT, 2: PREPAID}


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    shop = Shop(database_url)
    yield shop
    shop.close()


def test_an_order_goes_all_the_way(shop: Shop) -> None:
    """Each fact brings the next request, and the status that customers see moves along."""
    (order,) = shop.placed()
    (shipping,) = shop.deliver(*authorized_and_reserved(order))
    assert isinstance(shipping, ShipmentRequested)
    assert shop.find(order).status == OrderStatus.CONFIRMED
    (capture,) = shop.deliver(*booked(order))
    assert capture == CaptureRequested(order_id=order, authorization_id=f"authorize-{order}", amount=1999)
    issue, dispatch = shop.deliver(*captured(order))
    assert (type(issue), type(dispatch)) == (StockIssueRequested, DispatchRequested)
    assert shop.find(order).status == OrderStatus.PAID
    assert shop.deliver(*issued_and_dispatched(order)) == []
    assert shop.find(order).status == OrderStatus.FULFILLED
    assert [entry["event"] for entry in shop.history(order)] == [
        "order_placed",
        "payment.authorized",
        "stock.reserved",
        "shipment.booked",
        "payment.captured",
        "stock.issued",
        "shipment.dispatched",
    ]


def test_facts_of_one_order_in_one_batch_are_heard_in_order(shop: Shop) -> None:
    """A batch that holds an order's whole life does it all at once, and the history has every step of it."""
    (order,) = shop.placed()
    shop.fulfill(order)
    (other,) = shop.placed(wanted("other"))
    everything = [*authorized_and_reserved(other), *booked(other), *captured(other), *issued_and_dispatched(other)]
    assert len(shop.deliver(*everything)) == 4
    assert shop.find(other).status == OrderStatus.FULFILLED
    alike = [
        [(e["event"], e["did"], e["from_status"], e["to_status"]) for e in shop.history(o)] for o in (order, other)
    ]
    assert alike[0] == alike[1]


def test_the_history_tells_who_said_what(shop: Shop) -> None:
    """A line of history names its moment, its actor, the message, what it meant and what was done about it."""
    (order,) = shop.placed()
    fact = shop.enclose(PaymentDeclined(order_id=order, detail="insufficient funds"))
    (undo_payment_is_not_owed,) = shop.deliver(fact)
    assert undo_payment_is_not_owed.type == "stock.release_requested"
    assert shop.history(order)[-1] == {
        "seq": 2,
        "at": NOON,
        "event": "payment.declined",
        "message_id": fact.id,
        "actor": "payment",
        "step": "payment",
        "outcome": "acted",
        "detail": "insufficient funds",
        "did": ["inventory compensating"],
        "from_status": "pending",
        "to_status": "cancelling",
    }
    record = shop.find(order)
    assert (record.status, record.reason, record.reason_detail) == (
        "cancelling",
        "payment_declined",
        "insufficient funds",
    )


def test_history_never_goes_back_in_time(shop: Shop) -> None:
    """A worker that read the clock and then waited for another one's transaction writes no earlier moment."""
    (order,) = shop.placed()
    shop.clock.move(seconds=2)
    first, second = authorized_and_reserved(order)
    shop.deliver(first)
    shop.clock.move(seconds=-1)
    shop.deliver(second)
    assert [(entry["at"] - NOON).seconds for entry in shop.history(order)] == [0, 2, 2]


def test_participants_may_use_the_same_id(shop: Shop) -> None:
    """Nobody can use up another's ids: what payment and inventory say under one id is heard from both."""
    (order,) = shop.placed()
    first, second = (shop.enclose(each) for each in authorized_and_reserved(order))
    shop.deliver(first, msgspec.structs.replace(second, id=first.id))
    assert shop.rows("SELECT producer FROM inbox ORDER BY producer") == [("inventory",), ("payment",)]
    assert [entry["event"] for entry in shop.history(order)][1:] == ["payment.authorized", "stock.reserved"]


def test_a_late_fact_is_noted_and_nothing_moves(shop: Shop) -> None:
    """A fact that comes twice under two ids is written down, and changes neither the order nor its version's gap."""
    (order,) = shop.placed()
    shop.deliver(*authorized_and_reserved(order))
    before = shop.find(order)
    assert shop.deliver(StockReserved(order_id=order)) == []
    assert shop.history(order)[-1]["outcome"] == "noted: already done"
    after = shop.find(order)
    assert (after.saga, after.version) == (before.saga, before.version + 1)


def test_a_redelivered_fact_is_not_heard_again(shop: Shop) -> None:
    """The same message id is counted in the inbox and leaves no trace in the order."""
    (order,) = shop.placed()
    fact = shop.enclose(StockReserved(order_id=order))
    shop.deliver(fact, fact)
    shop.deliver(fact)
    assert len(shop.history(order)) == 2
    assert shop.rows("SELECT deliveries FROM inbox") == [(3,)]


def test_a_fact_about_an_unknown_order_is_buried(shop: Shop) -> None:
    """It goes to the dead letters with its reason; the rest of the batch is done."""
    (order,) = shop.placed()
    shop.deliver(StockReserved(order_id=order_id(404)), *authorized_and_reserved(order))
    assert shop.buried() == [f"unknown_order: {order_id(404)}"]
    assert shop.find(order).status == OrderStatus.CONFIRMED


def test_a_worker_older_than_the_order_stops(shop: Shop) -> None:
    """A version of the workflow that the program does not know ends the worker with a clear line."""
    shop.flows = VERSIONS
    (order,) = shop.placed()
    shop.flows = WORKFLOWS
    with pytest.raises(Stop, match=f"order {order} runs version 2 of the workflow, this program knows 1"):
        shop.deliver(StockReserved(order_id=order))
    assert shop.rows("SELECT * FROM inbox") == []
    assert len(shop.history(order)) == 1


def test_each_order_keeps_the_workflow_it_began_with(shop: Shop) -> None:
    """Orders of two versions run side by side, in the same batches, each by its own rules to its end."""
    shop.flows = VERSIONS
    (old,) = shop.placed(wanted("old"), version=1)
    (new,) = shop.placed(wanted("new"))
    assert shop.waiting() == ["payment.requested", "stock.requested", "stock.requested"]
    said = shop.deliver(*authorized_and_reserved(old), StockReserved(order_id=new))
    assert {(each.order_id, each.type) for each in said} == {(old, "shipment.requested"), (new, "payment.requested")}
    said = shop.deliver(*booked(old), *authorized_and_reserved(new))
    assert {(each.order_id, each.type) for each in said} == {(old, "capture.requested"), (new, "shipment.requested")}
    shop.deliver(*captured(old), *booked(new))
    shop.deliver(*issued_and_dispatched(old), *captured(new))
    (late,) = shop.deliver(ShipmentDispatched(order_id=new))
    assert late == StockIssueRequested(order_id=new)
    shop.deliver(StockIssued(order_id=new))
    assert [shop.find(each).status for each in (old, new)] == ["fulfilled", "fulfilled"]
    assert [shop.find(each).workflow_version for each in (old, new)] == [1, 2]
    shop.history(old)
    shop.history(new)


def test_every_fact_of_every_version_is_bound(shop: Shop) -> None:
    """The queue is bound to all facts that any running order may still wait for, and to nothing else."""
    assert set(HANDLERS) == {fact for flow in WORKFLOWS.values() for fact in flow.hears}
    assert {fact.producer for fact in HANDLERS} == {"payment", "inventory", "shipping"}


@pytest.mark.parametrize("size", [1, 200])
def test_a_batch_costs_eight_statements(shop: Shop, size: int) -> None:
    """The clock, the inbox, the load, sagas, orders, history, outbox and marks: eight, however many facts."""
    shop.clock.moment = datetime.now(UTC)  # as the server's, so that nobody's time seems to be over
    shop.consumer = shop.another(shop.consumer.handling)
    orders = shop.placed(*(wanted(f"order {number}") for number in range(size)))
    shop.deliver(*(authorized_and_reserved(order)[0] for order in orders))
    shop.deliver(*(fact for order in orders for fact in authorized_and_reserved(order)[1:]))
    shop.consumer.clock = DatabaseClock()  # it has not asked the server yet
    with shop.statements() as sent:
        assert len(shop.deliver(*(fact for order in orders for fact in booked(order)))) == size
    assert len(sent) == (8 if shop.database.is_postgresql else 7) - 1  # nobody's status changes by a booking
    shop.consumer.clock = DatabaseClock()
    with shop.statements() as sent:
        assert len(shop.deliver(*(fact for order in orders for fact in captured(order)))) == 2 * size
    assert len(sent) == (8 if shop.database.is_postgresql else 7)  # SQLite's clock is this machine's


def test_an_order_row_is_written_only_when_it_reads_differently(shop: Shop) -> None:
    """A fact that changes neither status nor reason leaves the order's own row alone."""
    (order,) = shop.placed()
    with shop.statements() as sent:
        shop.deliver(StockReserved(order_id=order))
    assert not [each for each in sent if "UPDATE orders" in each]


def test_history_cannot_be_rewritten(shop: Shop) -> None:
    """The database itself refuses to change or forget what happened."""
    shop.placed()
    for attempt in ("UPDATE saga_history SET actor = 'nobody'", "DELETE FROM saga_history"):
        with pytest.raises(DatabaseError, match="append-only"), shop.database.transaction() as connection:
            connection.exec_driver_sql(attempt)


def test_steps_survive_their_journey_through_the_database(shop: Shop) -> None:
    """A saga that is read is the saga that was written, to the microsecond."""
    shop.clock.move(microseconds=123_457)
    (order,) = shop.placed()
    payment = shop.find(order).saga.steps["payment"]
    assert (payment.status, payment.attempts) == (StepStatus.REQUESTED, 1)
    assert payment.requested_at == NOON + timedelta(microseconds=123_457)
    assert payment.deadline == payment.requested_at + timedelta(seconds=30)
