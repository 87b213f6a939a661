"""What somebody outside refuses for good, texts of any length, and requests that contradict their row."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from inventory_service.service import SERVICE as INVENTORY
from payment_service.service import SERVICE as PAYMENT
from shared import bounds
from shared.config import load
from shared.contracts import (
    CaptureRequested,
    DispatchRequested,
    Line,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRequested,
    PaymentReversalRefused,
    PaymentReversalRequested,
    ShipmentBooked,
    ShipmentCancellationRefused,
    ShipmentCancellationRequested,
    ShipmentRefused,
    StockRequested,
)
from shared.database.errors import ValueRefused
from shared.messaging.handling import Answers, Call
from shared.outside.answers import Answer, Approved, Refused
from shared.service import Service
from shipping_service.service import SERVICE as SHIPPING
from tests.component.bench import Bench, order_id
from tests.component.parcels import NORTHWIND, wanted

ORDER = order_id(1)
UNDO = PaymentReversalRequested(order_id=ORDER)
UNBOOK = ShipmentCancellationRequested(order_id=ORDER)


def payment(token: str = "tok_visa", amount: int = 1999) -> PaymentRequested:
    return PaymentRequested(order_id=ORDER, amount=amount, currency="EUR", payment_token=token)


def capture(amount: int = 1999) -> CaptureRequested:
    return CaptureRequested(order_id=ORDER, authorization_id=f"authorize-{ORDER}", amount=amount)


@pytest.fixture
def bench(database_url: str) -> Iterator[Callable[..., Bench]]:
    """Makes a service on a database; with an answer, everybody outside always gives that one."""
    opened: list[Bench] = []

    def make(service: Service, answer: Answer = None) -> Bench:
        opened.append(bench := Bench(service, database_url))
        if answer is not None:
            handling = service.handling(load(service=service.name, environ={}), bench.database)
            bench.consumer = bench.another(replace(handling, ask=always(answer)))
        return bench

    yield make
    for each in opened:
        each.close()


def always(answer: Answer) -> Callable[[Sequence[Call]], Answers]:
    return lambda calls: {call.key: answer for call in calls}


def row(bench: Bench, columns: str, table: str) -> tuple[Any, ...]:
    (found,) = bench.rows(f"SELECT {columns} FROM {table}")
    return found


# An undo refused for good


@pytest.mark.parametrize(
    ("token", "story", "held", "kept"),
    [
        ("tok_void_refused", [payment("tok_void_refused")], 1999, 0),
        ("tok_refund_refused", [payment("tok_refund_refused"), capture()], 0, 1999),
    ],
)
def test_a_reversal_that_the_network_refuses_is_a_fact(
    bench: Callable[..., Bench], token: str, story: list[Any], held: int, kept: int
) -> None:
    """It says why and what is still held, is on the payment, and is repeated without asking the network again."""
    room = bench(PAYMENT)
    for message in story:
        room.deliver(message)
    (refused,) = room.deliver(UNDO)
    assert isinstance(refused, PaymentReversalRefused)
    assert (refused.held, refused.kept) == (held, kept)
    assert refused.detail
    assert row(room, "detail, reversing, reversal_refused", "payments") == (refused.detail, True, True)
    asked = room.rows("SELECT key, askings FROM card_network_books ORDER BY key")
    for message in (UNDO, payment(token), capture(), UNDO):
        assert room.deliver(message) == [refused]
    assert room.rows("SELECT key, askings FROM card_network_books ORDER BY key") == asked
    assert room.buried() == []


def test_a_payment_of_a_card_that_is_only_refused_later_is_otherwise_as_any(bench: Callable[..., Bench]) -> None:
    """What cannot be voided can be captured and refunded."""
    room = bench(PAYMENT)
    (authorized,) = room.deliver(payment("tok_void_refused"))
    assert isinstance(authorized, PaymentAuthorized)
    assert room.deliver(capture()) == [PaymentCaptured(order_id=ORDER, captured=1999)]
    room.deliver(UNDO)
    assert row(room, "status, refunded", "payments") == ("refunded", 1999)


def test_a_cancellation_that_the_carrier_refuses_is_a_fact(bench: Callable[..., Bench]) -> None:
    """It says why and which parcel, is on the shipment, and is repeated without asking the carrier again."""
    room = bench(SHIPPING)
    (booked,) = room.deliver(wanted(country="CH"))
    assert isinstance(booked, ShipmentBooked)
    (refused,) = room.deliver(UNBOOK)
    assert isinstance(refused, ShipmentCancellationRefused)
    assert (refused.carrier, refused.tracking_number) == (NORTHWIND, booked.tracking_number)
    assert row(room, "status, cancellation_refused, detail", "shipments") == ("booked", True, refused.detail)
    asked = room.rows("SELECT key, askings FROM carrier_books ORDER BY key")
    dispatch = DispatchRequested(order_id=ORDER, tracking_number=booked.tracking_number)
    for message in (UNBOOK, wanted(country="CH"), dispatch, UNBOOK):
        assert room.deliver(message) == [refused]
    assert room.rows("SELECT key, askings FROM carrier_books ORDER BY key") == asked


# Texts of any length


@pytest.mark.parametrize("text", ["insufficient funds " * 500, "x" * 501, "", "\n", "line\nbreak", "nul\0"])
def test_what_is_said_to_people_is_cut_and_cleaned_where_it_comes_in(bench: Callable[..., Bench], text: str) -> None:
    """A refusal of any length and with anything in it is a refusal, in at most 500 characters that can be shown."""
    room = bench(PAYMENT, Refused(text))
    (declined,) = room.deliver(payment())
    assert isinstance(declined, PaymentDeclined)
    assert 1 <= len(declined.detail) <= bounds.DETAIL
    assert declined.detail.isprintable()
    assert row(room, "status, detail", "payments") == ("declined", declined.detail)
    assert room.buried() == []


def test_a_text_that_fits_is_kept_whole(bench: Callable[..., Bench]) -> None:
    """390 characters are not too many for a reason."""
    room = bench(PAYMENT, Refused("a" * 390))
    assert room.deliver(payment()) == [PaymentDeclined(order_id=ORDER, detail="a" * 390)]


def test_the_refusals_of_all_carriers_are_cut_together(bench: Callable[..., Bench]) -> None:
    """What several carriers say of one parcel is one text for people."""
    room = bench(SHIPPING, Refused("we do not go there " * 100))
    (refused,) = room.deliver(wanted())
    assert isinstance(refused, ShipmentRefused)
    assert len(refused.detail) <= bounds.DETAIL
    assert room.buried() == []


@pytest.mark.parametrize("length", [1, 41, 300, bounds.REFERENCE])
def test_references_are_kept_whole(bench: Callable[..., Bench], length: int) -> None:
    """An authorization of 300 characters and a tracking number of 41 are what they are, and are asked for as such."""
    room = bench(PAYMENT, Approved("r" * length))
    assert room.deliver(payment()) == [
        PaymentAuthorized(order_id=ORDER, authorization_id="r" * length, authorized=1999)
    ]
    asked = CaptureRequested(order_id=ORDER, authorization_id="r" * length, amount=1999)
    assert room.deliver(asked) == [PaymentCaptured(order_id=ORDER, captured=1999)]


def test_tracking_numbers_are_kept_whole(bench: Callable[..., Bench]) -> None:
    """As long as the contract allows."""
    room = bench(SHIPPING, Approved("t" * bounds.REFERENCE))
    (booked,) = room.deliver(wanted())
    assert booked == ShipmentBooked(order_id=ORDER, carrier=NORTHWIND, tracking_number="t" * bounds.REFERENCE)


@pytest.mark.parametrize("reference", ["", "r" * (bounds.REFERENCE + 1), "nul\0"])
def test_a_reference_that_breaks_the_contract_is_no_answer(bench: Callable[..., Bench], reference: str) -> None:
    """Money is held, or a parcel booked, that could not be named again: it stays in doubt, says why, and is no dead
    letter, so that the order's patience decides, and a person can see it."""
    room = bench(PAYMENT, Approved(reference))
    for message in (payment(), payment(), UNDO):
        assert room.deliver(message) == []
    status, detail = row(room, "status, detail", "payments")
    assert status == "authorizing"
    assert str(len(reference)) in detail
    assert room.buried() == []


def test_a_tracking_number_that_breaks_the_contract_is_no_answer(bench: Callable[..., Bench]) -> None:
    """The carrier may hold a booking, so no other is asked."""
    room = bench(SHIPPING, Approved(""))
    for message in (wanted(), wanted(), UNBOOK):
        assert room.deliver(message) == []
    status, carriers, detail = row(room, "status, carriers, detail", "shipments")
    assert status == "booking"
    assert "globex" not in str(carriers)
    assert NORTHWIND in detail
    assert room.buried() == []


@pytest.mark.parametrize(
    ("service", "table", "column", "most"),
    [
        (PAYMENT, "payments", "detail", bounds.DETAIL),
        (PAYMENT, "payments", "authorization_id", bounds.REFERENCE),
        (SHIPPING, "shipments", "tracking_number", bounds.REFERENCE),
        (INVENTORY, "reservations", "detail", bounds.DETAIL),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_both_databases_hold_the_same_bounds(
    bench: Callable[..., Bench], service: Service, table: str, column: str, most: int
) -> None:
    """A column takes as many characters as the contract does, and not one more."""
    room = bench(service)
    room.deliver({"payment": payment(), "shipping": wanted(), "inventory": stock()}[service.name])
    with room.database.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE {table} SET {column} = '{'x' * most}'")
    with pytest.raises(ValueRefused), room.database.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE {table} SET {column} = '{'x' * (most + 1)}'")


# Requests that contradict their row


def stock(quantity: int = 2) -> StockRequested:
    return StockRequested(order_id=ORDER, lines=(Line(sku="POPULAR-LAMP", quantity=quantity),))


@pytest.mark.parametrize(
    ("service", "asked", "other", "table"),
    [
        (PAYMENT, payment(), payment(amount=1), "payments"),
        (PAYMENT, payment(), payment(token="tok_amex"), "payments"),
        (PAYMENT, payment(), capture(amount=1), "payments"),
        (PAYMENT, payment(), CaptureRequested(order_id=ORDER, authorization_id="another", amount=1999), "payments"),
        (INVENTORY, stock(), stock(3), "reservations"),
        (SHIPPING, wanted(), wanted(country="GB"), "shipments"),
        (SHIPPING, wanted(), DispatchRequested(order_id=ORDER, tracking_number="another"), "shipments"),
    ],
)
def test_a_request_that_contradicts_its_row_is_a_dead_letter(
    bench: Callable[..., Bench], service: Service, asked: Any, other: Any, table: str
) -> None:
    """It changes nothing, says nothing, and is put aside with what it contradicts; what was asked is still answered."""
    room = bench(service)
    said = room.deliver(asked)
    before = room.rows(f"SELECT * FROM {table}")
    assert room.deliver(other) == []
    assert [reason.partition(":")[0] for reason in room.buried()] == ["contradiction"]
    assert room.rows(f"SELECT * FROM {table}") == before
    assert room.deliver(asked) == said
