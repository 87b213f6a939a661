"""Shipping while its workers are killed around their calls, and while carriers come, go and lose what they are told."""

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest

from shared.contracts import (
    ShipmentBooked,
    ShipmentCancelled,
)
from shared.messaging.envelope import Envelope
from shared.outside.simulator import Conduct, Simulator
from shipping_service.gateway import SimulatedCarriers, policy
from shipping_service.service import SERVICE
from shipping_service.store import WORLD
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


def die(shipping: Shipping, moment: str, envelope: Envelope) -> None:
    """A worker process takes the message and is killed before or after its call."""
    words = [sys.executable, "-m", "tests.component.dying", "shipping", shipping.database.url, moment]
    done = subprocess.run([*words, msgspec.json.encode(envelope).decode()], check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_undo_overtakes_a_killed_booking(shipping: Shipping, moment: str) -> None:
    """The undo is worked before the redelivered request: in the end no carrier holds anything."""
    envelope = shipping.enclose(wanted())
    die(shipping, moment, envelope)
    for message in (UNDO, envelope):
        assert shipping.deliver(message) == [ShipmentCancelled(order_id=ORDER)]
    assert shipping.books() == {NORTHWIND: {"book", "cancel"}, GLOBEX: set()}


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_worker_killed_around_the_dispatch(shipping: Shipping, moment: str) -> None:
    """The parcel is handed over once."""
    shipping.deliver(wanted())
    envelope = shipping.enclose(DISPATCH)
    die(shipping, moment, envelope)
    assert shipping.status() == "dispatching"
    assert shipping.deliver(envelope) == [DISPATCHED]
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
