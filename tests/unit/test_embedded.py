"""The embedded broker's own promises: confirms by acknowledgment, virtual time, and faults on demand."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from shared.messaging.broker import ConnectionLost
from shared.messaging.brokers.embedded import Embedded
from shared.messaging.envelope import Envelope
from tests.contract.test_broker import TOPOLOGY, LampAdmired, LampPacked, drop_to_death, envelope


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Prank:
    """Faults by plan: one list of delays for each message, in turn."""

    delays: list[Sequence[float] | None] = field(default_factory=list)
    last_first: bool = False
    cut_next: str | None = None

    def arrivals(self, envelope: Envelope, queue: str) -> Sequence[float] | None:
        return self.delays.pop(0) if self.delays else (0.0,)

    def next(self, queue: str, waiting: int) -> int:
        return waiting - 1 if self.last_first else 0

    def cuts(self, service: str) -> bool:
        cut, self.cut_next = self.cut_next == service, None
        return cut


def test_a_confirm_is_the_consumers_acknowledgment() -> None:
    """Nothing outlives the process, so a message counts as published only when every one of its consumers is done."""
    broker = Embedded(TOPOLOGY)
    shop, store, museum = (broker.connect(service) for service in ("shop", "store", "museum"))
    sent = envelope(LampAdmired)
    shop.publish([sent])
    store.acknowledge(store.take(1, 0))
    assert shop.settled().confirmed == []
    museum.acknowledge(museum.take(1, 0))
    assert shop.settled().confirmed == [sent.id]


def test_the_dead_are_confirmed_when_they_are_laid_to_rest() -> None:
    """A dead message is confirmed when it leaves the dead-letter queue."""
    broker = Embedded(TOPOLOGY)
    shop = broker.connect("shop")
    shop.publish([envelope()])
    drop_to_death(broker, "store")
    store = broker.connect("store")
    assert shop.settled().confirmed == []
    store.acknowledge(store.take(1, 0))
    assert len(shop.settled().confirmed) == 1
    assert broker.idle()


def test_the_delivery_limit_leads_to_the_dead_letters() -> None:
    """After 1,000 drops the next one is the last, and says so."""
    broker = Embedded(TOPOLOGY)
    broker.connect("shop").publish([envelope()])
    for drops in range(1_001):
        store = broker.connect("store")
        (delivery,) = store.take(1, 0)
        assert (delivery.drops, delivery.death) == (drops, None)
        store.close()
    (dead,) = broker.connect("store").take(1, 0)
    assert (dead.drops, dead.death) == (0, "delivery_limit")


def test_delays_are_told_in_virtual_time() -> None:
    """A delayed message cannot be seen before its moment, and the broker says when that is."""
    clock = Clock()
    broker = Embedded(TOPOLOGY, Prank(delays=[[7.0], [2.0]]), clock)
    shop, store = broker.connect("shop"), broker.connect("store")
    store.prefetch(10)
    late, early = envelope(order=1), envelope(order=2)
    shop.publish([late, early])
    assert (store.take(10, 0), broker.next_event_at(), broker.idle()) == ([], 2.0, False)
    clock.now = 2.0
    assert [each.envelope for each in store.take(10, 0)] == [early]
    assert broker.next_event_at() == 7.0
    clock.now = 7.0
    assert [each.envelope for each in store.take(10, 0)] == [late]
    assert broker.next_event_at() is None


def test_a_duplicate_comes_twice_and_is_confirmed_once() -> None:
    """Both copies have the same id; the confirm waits for both."""
    broker = Embedded(TOPOLOGY, Prank(delays=[[0.0, 0.0]]))
    shop, store = broker.connect("shop"), broker.connect("store")
    store.prefetch(10)
    sent = envelope()
    shop.publish([sent])
    first, second = store.take(10, 0)
    assert first.envelope.id == second.envelope.id == sent.id
    store.acknowledge([first])
    assert shop.settled().confirmed == []
    store.acknowledge([second])
    assert shop.settled().confirmed == [sent.id]


def test_the_lost_is_confirmed_all_the_same() -> None:
    """A broker that loses a message has said that it kept it."""
    broker = Embedded(TOPOLOGY, Prank(delays=[[]]))
    shop, store = broker.connect("shop"), broker.connect("store")
    sent = envelope()
    shop.publish([sent])
    assert shop.settled().confirmed == [sent.id]
    assert store.take(10, 0) == []
    assert broker.idle()


def test_the_refused_goes_nowhere() -> None:
    """A refusal is a nack, also when only one of the queues refuses."""
    broker = Embedded(TOPOLOGY, Prank(delays=[[0.0], None]))
    shop = broker.connect("shop")
    sent = envelope(LampAdmired)
    shop.publish([sent])
    assert shop.settled().refused == {sent.id: "nacked"}
    assert broker.idle()


def test_messages_change_places() -> None:
    """Faults chooses which of the waiting messages is delivered next."""
    broker = Embedded(TOPOLOGY, Prank(last_first=True))
    store = broker.connect("store")
    store.prefetch(10)
    sent = [envelope(order=number) for number in range(3)]
    broker.connect("shop").publish(sent)
    assert [each.envelope for each in store.take(10, 0)] == sent[::-1]


def test_mischief_cuts_connections() -> None:
    """A cut raises ConnectionLost at the next call of whatever kind; what was held comes again in its old order."""
    prank = Prank()
    broker = Embedded(TOPOLOGY, prank)
    store = broker.connect("store")
    store.prefetch(10)
    sent = [envelope(order=number) for number in range(3)]
    broker.connect("shop").publish(sent)
    taken = store.take(10, 0)
    prank.cut_next = "store"
    with pytest.raises(ConnectionLost, match="store: cut"):
        store.acknowledge(taken)
    again = broker.connect("store")
    again.prefetch(10)
    assert [(each.envelope, each.drops) for each in again.take(10, 0)] == [(each, 1) for each in sent]


def test_the_confirm_of_a_lost_publisher_is_nobodys() -> None:
    """Who lost the connection learns nothing about what it published there."""
    broker = Embedded(TOPOLOGY)
    store, shop = broker.connect("store"), broker.connect("shop")
    store.publish([envelope(LampPacked)])
    broker.cut("store")
    store = broker.connect("store")
    shop.acknowledge(shop.take(1, 0))
    assert store.settled().confirmed == []
    assert broker.idle()
