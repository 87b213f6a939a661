"""Shipping: one booking per order at most, whatever carriers do; their own books are the witness."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from shared.config import load
from shared.contracts import (
    DispatchRequested,
    ShipmentCancellationRequested,
    ShipmentCancelled,
    ShipmentRefused,
)
from shipping_service.domain import CARRIERS
from shipping_service.service import SERVICE
from tests.component.bench import order_id
from tests.component.parcels import (
    DISPATCH,
    DISPATCHED,
    DOWN,
    GLOBEX,
    LOST,
    NORTHWIND,
    ORDER,
    UNDO,
    Shipping,
    booked,
    wanted,
)


@pytest.fixture
def shipping(database_url: str) -> Iterator[Shipping]:
    bench = Shipping(SERVICE, database_url)
    yield bench
    bench.close()


@pytest.mark.parametrize(
    ("country", "carrier"), [("GB", NORTHWIND), ("DE", NORTHWIND), ("FR", NORTHWIND), ("US", GLOBEX)]
)
def test_the_first_carrier_that_delivers_there(shipping: Shipping, country: str, carrier: str) -> None:
    """The first carrier is booked where it goes, else the second; asked again, the same is answered."""
    for _ in range(2):
        assert shipping.deliver(wanted(country=country)) == [booked(carrier)]
    assert shipping.holding() == [carrier]


def test_nobody_delivers_there(shipping: Shipping) -> None:
    """Where no carrier goes the refusal says what each of them said, and it stays a refusal."""
    reason = f"{NORTHWIND}: does not deliver to NZ; {GLOBEX}: does not deliver to NZ"
    for _ in range(2):
        assert shipping.deliver(wanted(country="NZ")) == [ShipmentRefused(order_id=ORDER, detail=reason)]
    assert shipping.holding() == []


def test_the_second_carrier_when_the_first_is_down(shipping: Shipping) -> None:
    """A carrier that could not be reached did nothing, so the second is booked; and stays, when the first is back."""
    shipping.conduct(northwind=DOWN)
    assert shipping.deliver(wanted()) == [booked(GLOBEX)]
    shipping.conduct()
    assert shipping.deliver(wanted()) == [booked(GLOBEX)]
    assert shipping.holding() == [GLOBEX]


@pytest.mark.parametrize("country", ["DE", "US"])
def test_silence_while_nobody_can_be_reached(shipping: Shipping, country: str) -> None:
    """While carriers that might deliver there are down nothing is said, and it is asked anew when they are back."""
    shipping.conduct(northwind=DOWN, globex=DOWN)
    assert shipping.deliver(wanted(country=country)) == []
    assert shipping.status() == "booking"
    shipping.conduct()
    assert shipping.deliver(wanted(country=country)) == [booked(NORTHWIND if country == "DE" else GLOBEX)]
    assert len(shipping.holding()) == 1


def test_a_down_carrier_that_might_deliver_is_no_refusal(shipping: Shipping) -> None:
    """When the second refuses and the first is down, that is silence: the first may deliver when it is back."""
    shipping.conduct(northwind=DOWN)
    assert shipping.deliver(wanted(country="GB")) == []
    shipping.conduct()
    assert shipping.deliver(wanted(country="GB")) == [booked(NORTHWIND)]


def test_a_lost_answer_keeps_the_second_carrier_out(shipping: Shipping) -> None:
    """A carrier whose answer is lost may hold a booking: it is asked again, even while it is down, and nobody else."""
    shipping.conduct(northwind=LOST)
    assert shipping.deliver(wanted()) == []
    shipping.conduct(northwind=DOWN)
    assert shipping.deliver(wanted()) == []
    shipping.conduct()
    assert shipping.deliver(wanted()) == [booked(NORTHWIND)]
    assert shipping.books() == {NORTHWIND: {"book"}, GLOBEX: set()}


def test_undo_of_a_booking_in_doubt(shipping: Shipping) -> None:
    """An undo that meets a carrier in doubt asks it again under the same key, then cancels; until then it is silent."""
    shipping.conduct(northwind=LOST)
    shipping.deliver(wanted())
    shipping.conduct(northwind=DOWN)
    assert shipping.deliver(UNDO) == []
    assert shipping.holding() == [NORTHWIND]
    shipping.conduct()
    assert shipping.deliver(UNDO) == [ShipmentCancelled(order_id=ORDER)]
    assert shipping.books() == {NORTHWIND: {"book", "cancel"}, GLOBEX: set()}


def test_undo_while_nobody_could_be_reached(shipping: Shipping) -> None:
    """An undo of a booking that no carrier ever heard of is done at once, even while they are down."""
    shipping.conduct(northwind=DOWN, globex=DOWN)
    shipping.deliver(wanted())
    assert shipping.deliver(UNDO) == [ShipmentCancelled(order_id=ORDER)]
    shipping.conduct()
    assert shipping.deliver(wanted()) == [ShipmentCancelled(order_id=ORDER)]
    assert shipping.holding() == []


def test_request_and_undo_in_one_batch(shipping: Shipping) -> None:
    """A request and its undo in one batch end with nothing held, also when the first carrier is down."""
    shipping.conduct(northwind=DOWN)
    assert shipping.deliver(wanted(), UNDO)[-1] == ShipmentCancelled(order_id=ORDER)
    assert shipping.holding() == []


def test_a_booked_parcel_is_handed_over(shipping: Shipping) -> None:
    """Dispatching hands the parcel to the carrier that booked it; asked again, the same is answered."""
    shipping.deliver(wanted())
    for _ in range(2):
        assert shipping.deliver(DISPATCH) == [DISPATCHED]
    assert shipping.books() == {NORTHWIND: {"book", "dispatch"}, GLOBEX: set()}


def test_a_lost_dispatch_is_asked_again(shipping: Shipping) -> None:
    """A dispatch whose answer is lost keeps its intent and says nothing; asked again the carrier remembers."""
    shipping.deliver(wanted())
    shipping.conduct(northwind=LOST)
    assert shipping.deliver(DISPATCH) == []
    assert shipping.status() == "dispatching"
    shipping.conduct()
    assert shipping.deliver(DISPATCH) == [DISPATCHED]


def test_what_is_cancelled_is_not_dispatched(shipping: Shipping) -> None:
    """A dispatch after the cancellation, or for an order never asked for but cancelled, hears of the cancellation."""
    shipping.deliver(wanted(), UNDO, ShipmentCancellationRequested(order_id=order_id(2)))
    assert shipping.deliver(DISPATCH) == [ShipmentCancelled(order_id=ORDER)]
    unknown = DispatchRequested(order_id=order_id(2), tracking_number="NW0")
    assert shipping.deliver(unknown) == [ShipmentCancelled(order_id=order_id(2))]
    assert shipping.books() == {NORTHWIND: {"book", "cancel"}, GLOBEX: set()}


def test_senders_bugs_are_put_aside(shipping: Shipping) -> None:
    """To dispatch what is not booked, or under another number, or to cancel what has left: dead letters."""
    shipping.deliver(DISPATCH)
    shipping.deliver(wanted(2, country="NZ"), DispatchRequested(order_id=order_id(2), tracking_number="NW0"))
    shipping.deliver(wanted(), DispatchRequested(order_id=ORDER, tracking_number="NW0"))
    shipping.deliver(DISPATCH)
    shipping.deliver(UNDO)
    reasons = [reason.partition(":")[0] for reason in shipping.buried()]
    assert reasons == ["dispatch_without_booking", "dispatch_without_booking", "contradiction", "dispatched"]
    assert shipping.books() == {NORTHWIND: {"book", "dispatch"}, GLOBEX: set()}


@pytest.mark.parametrize("size", [1, 200])
def test_a_batch_costs_few_statements(shipping: Shipping, size: int) -> None:
    """Two short transactions around the calls, whatever the size; the carriers' own books are not the service's."""
    shipping.deliver(wanted(number=0))
    with shipping.statements() as sent:
        assert len(shipping.deliver(*[wanted(number) for number in range(1, size + 1)])) == size
    own = [each for each in sent if "carrier_books" not in each and "FROM simulation" not in each]
    assert len(own) <= 8, own


def test_the_calls_of_a_batch_are_made_together(shipping: Shipping) -> None:
    """200 bookings at 300 ms each wait once for 300 ms, and once more for those that the second carrier must take."""
    waits: list[float] = []
    settings = load(service="shipping", environ={"NETWORK_LATENCY_MS": "300"})
    ask = SERVICE.handling(settings, shipping.database).ask
    ask.__self__.simulator.sleep = waits.append  # type: ignore[union-attr]
    slow = shipping.another(replace(shipping.consumer.handling, ask=ask))
    messages = [wanted(number, country="US" if number % 2 else "DE") for number in range(200)]
    assert len(slow.work(shipping.deliveries(messages))) == 200
    assert waits == [0.3, 0.3]


def test_an_operator_makes_carriers_fail(shipping: Shipping) -> None:
    """An operator sets one carrier's outage at run time, sees it, and sees the order's shipment without its address."""
    from shared.messaging.notifier import Notifier

    operator = {"Authorization": "Bearer commands"}
    settings = load(service="shipping", environ={"API_KEYS": "commands:operator,alice:customer:alice"})
    client = SERVICE.web(settings, shipping.database, Notifier(shipping.database)).test_client()
    conduct = client.put(f"/simulation?party={NORTHWIND}", json={"outage": True}, headers=operator).json
    assert [conduct[carrier]["outage"] for carrier in CARRIERS] == [True, False]
    assert shipping.deliver(wanted()) == [booked(GLOBEX)]
    answer = client.get(f"/shipments/{ORDER}", headers=operator)
    assert (answer.json["status"], answer.json["carrier"], answer.json["country"]) == ("booked", GLOBEX, "DE")
    assert "Main Street" not in answer.text
    assert client.get(f"/shipments/{order_id(9)}", headers=operator).status_code == 404
    assert client.get(f"/shipments/{ORDER}", headers={"Authorization": "Bearer alice"}).status_code == 403
