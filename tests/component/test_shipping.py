"""Shipping: one booking per order at most, whatever carriers do; their own books are the witness."""

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest
from alembic import command

from shared.config import load
from shared.contracts import (
    Address,
    DispatchRequested,
    Line,
    ShipmentBooked,
    ShipmentCancellationRequested,
    ShipmentCancelled,
    ShipmentDispatched,
    ShipmentRefused,
    ShipmentRequested,
)
from shared.messaging.envelope import Envelope
from shared.migrate import config
from shared.simulated import Conduct, Simulator
from shipping_service.domain import CARRIERS
from shipping_service.gateway import SimulatedCarriers, policy, tracking_number
from shipping_service.service import SERVICE
from shipping_service.store import WORLD
from tests.component.bench import Bench, order_id

NORTHWIND, GLOBEX = CARRIERS
ORDER = order_id(1)
UNDO = ShipmentCancellationRequested(order_id=ORDER)
DISPATCH = DispatchRequested(order_id=ORDER, tracking_number=tracking_number(NORTHWIND, ORDER))
DOWN = Conduct(outage=True)
LOST = Conduct(latency_ms=2, timeout_ms=1)  # what is asked is done, and the answer comes too late


def wanted(number: int = 1, country: str = "DE") -> ShipmentRequested:
    """A lamp for somebody in that country."""
    ship_to = Address(name="Ada", line1="1 Main Street", city="Anywhere", postal_code="12345", country=country)
    lines = (Line(sku="POPULAR-LAMP", quantity=1),)
    return ShipmentRequested(order_id=order_id(number), lines=lines, ship_to=ship_to)


def booked(carrier: str, number: int = 1) -> ShipmentBooked:
    order = order_id(number)
    return ShipmentBooked(order_id=order, carrier=carrier, tracking_number=tracking_number(carrier, order))


class Shipping(Bench):
    def conduct(self, **parties: Conduct) -> None:
        """From now on the carriers behave so."""
        with self.database.transaction() as connection:
            for carrier, name in ((NORTHWIND, "northwind"), (GLOBEX, "globex")):
                WORLD.set_conduct(connection, carrier, parties.get(name, Conduct()))

    def books(self) -> dict[str, set[str]]:
        """What each carrier did for order 1, by its own books."""
        done: dict[str, set[str]] = {carrier: set() for carrier in CARRIERS}
        with self.database.reading() as connection:
            for entry in WORLD.entries(connection, ORDER):
                if entry["approved"]:
                    done[entry["party"]].add(entry["kind"])
        return done

    def holding(self) -> list[str]:
        """The carriers that hold a booking for order 1."""
        return [carrier for carrier, done in self.books().items() if "book" in done and "cancel" not in done]

    def status(self) -> str:
        (row,) = self.rows(f"SELECT status FROM shipments WHERE order_id = '{ORDER}'")
        return str(row[0])


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
        assert shipping.deliver(DISPATCH) == [ShipmentDispatched(order_id=ORDER)]
    assert shipping.books() == {NORTHWIND: {"book", "dispatch"}, GLOBEX: set()}


def test_a_lost_dispatch_is_asked_again(shipping: Shipping) -> None:
    """A dispatch whose answer is lost keeps its intent and says nothing; asked again the carrier remembers."""
    shipping.deliver(wanted())
    shipping.conduct(northwind=LOST)
    assert shipping.deliver(DISPATCH) == []
    assert shipping.status() == "dispatching"
    shipping.conduct()
    assert shipping.deliver(DISPATCH) == [ShipmentDispatched(order_id=ORDER)]


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
    assert reasons == ["dispatch_without_booking", "dispatch_without_booking", "wrong_tracking_number", "dispatched"]
    assert shipping.books() == {NORTHWIND: {"book", "dispatch"}, GLOBEX: set()}


def die(shipping: Shipping, moment: str, envelope: Envelope) -> None:
    """A worker process takes the message and is killed before or after its call."""
    words = [sys.executable, "-m", "tests.component.dying", "shipping", shipping.database.url, moment]
    done = subprocess.run([*words, msgspec.json.encode(envelope).decode()], check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_worker_killed_around_the_booking(shipping: Shipping, moment: str) -> None:
    """The redelivery ends with one booking; while the carrier is down it does not go to the other one."""
    envelope = shipping.enclose(wanted())
    die(shipping, moment, envelope)
    assert shipping.status() == "booking"
    shipping.conduct(northwind=DOWN)
    assert shipping.deliver(wanted()) == []
    shipping.conduct()
    assert shipping.deliver(envelope) == [booked(NORTHWIND)]
    assert shipping.books() == {NORTHWIND: {"book"}, GLOBEX: set()}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_undo_overtakes_a_killed_booking(shipping: Shipping, moment: str) -> None:
    """The undo is worked before the redelivered request: in the end no carrier holds anything."""
    envelope = shipping.enclose(wanted())
    die(shipping, moment, envelope)
    for message in (UNDO, envelope):
        assert shipping.deliver(message) == [ShipmentCancelled(order_id=ORDER)]
    assert shipping.books() == {NORTHWIND: {"book", "cancel"}, GLOBEX: set()}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_worker_killed_around_the_dispatch(shipping: Shipping, moment: str) -> None:
    """The parcel is handed over once."""
    shipping.deliver(wanted())
    envelope = shipping.enclose(DISPATCH)
    die(shipping, moment, envelope)
    assert shipping.status() == "dispatching"
    assert shipping.deliver(envelope) == [ShipmentDispatched(order_id=ORDER)]
    assert shipping.books() == {NORTHWIND: {"book", "dispatch"}, GLOBEX: set()}


@pytest.mark.parametrize("seed", range(20))
def test_never_two_bookings_whatever_carriers_do(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """While both carriers come and go, lose requests and lose answers, at most one of them holds a booking at any time;
    and when they have calmed down, an undo leaves none, and a request leaves one."""
    chance = random.Random(seed)
    shipping = Shipping(SERVICE, f"sqlite:///{tmp_path_factory.mktemp('shipping')}/shipping.db")
    simulator = Simulator(WORLD, shipping.database, shipping.clock, policy, Conduct(), chance=chance)
    asking = replace(shipping.consumer.handling, ask=SimulatedCarriers(simulator).ask)
    shipping.consumer = shipping.another(asking)
    manners = [Conduct(), DOWN, LOST, Conduct(error_rate=1.0), Conduct(error_rate=0.5)]
    country = chance.choice(["DE", "US", "GB"])
    for _ in range(8):
        shipping.conduct(northwind=chance.choice(manners), globex=chance.choice(manners))
        shipping.deliver(*chance.choices([wanted(country=country), UNDO], weights=[5, 1], k=chance.randint(1, 2)))
        assert len(shipping.holding()) <= 1
    shipping.conduct()
    (fact,) = shipping.deliver(wanted(country=country))
    assert len(shipping.holding()) == isinstance(fact, ShipmentBooked)
    assert shipping.deliver(UNDO) == [ShipmentCancelled(order_id=ORDER)]
    assert shipping.holding() == []
    shipping.close()


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
    from shared.wakeup import WakeUp

    operator = {"Authorization": "Bearer desk"}
    settings = load(service="shipping", environ={"API_KEYS": "desk:operator,alice:customer:alice"})
    client = SERVICE.web(settings, shipping.database, WakeUp(shipping.database)).test_client()
    conduct = client.put(f"/simulation?party={NORTHWIND}", json={"outage": True}, headers=operator).json
    assert [conduct[carrier]["outage"] for carrier in CARRIERS] == [True, False]
    assert shipping.deliver(wanted()) == [booked(GLOBEX)]
    answer = client.get(f"/shipments/{ORDER}", headers=operator)
    assert (answer.json["status"], answer.json["carrier"], answer.json["country"]) == ("booked", GLOBEX, "DE")
    assert "Main Street" not in answer.text
    assert client.get(f"/shipments/{order_id(9)}", headers=operator).status_code == 404
    assert client.get(f"/shipments/{ORDER}", headers={"Authorization": "Bearer alice"}).status_code == 403


def test_migrations_make_the_declared_tables(shipping: Shipping) -> None:
    """What the migrations make is what store.py declares, and going back leaves nothing behind."""
    with shipping.database.transaction() as connection:
        command.check(config(SERVICE.package, connection))
        command.downgrade(config(SERVICE.package, connection), "base")
        assert not set(SERVICE.metadata.tables) & set(connection.dialect.get_table_names(connection))
