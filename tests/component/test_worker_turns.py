"""A worker's turns: what a death before it, or bad weather, leaves behind is worked off once, and kept for nobody."""

import logging
import socket
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from inventory_service.service import SERVICE
from shared.bootstrap import system_topology
from shared.contracts import Line, StockRequested
from shared.database import TransientError
from shared.ids import uuid7
from shared.messaging.broker import Broker, Delivery
from shared.messaging.brokers.embedded import Embedded
from shared.messaging.brokers.rabbitmq import RabbitMQ
from shared.messaging.consumer import Consumer
from shared.messaging.durability.maintenance import Maintenance
from shared.messaging.envelope import Envelope
from shared.messaging.pace import Pace
from shared.messaging.worker import ATTEMPTS_ALONE, SUSPECTED_AFTER, Worker
from tests.component.bench import Bench, order_id

AWAY = TransientError("the database is away")


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    bench = Bench(SERVICE, database_url, seed=True)
    yield bench
    bench.close()


@pytest.fixture
def broker() -> Embedded:
    return Embedded(system_topology())


def wanted(number: int) -> StockRequested:
    return StockRequested(order_id=order_id(number), lines=(Line(sku="POPULAR-LAMP", quantity=1),))


def suspicious(bench: Bench, broker: Embedded) -> None:
    """Leave a message in the inbox that was dropped so often that it is worked alone."""
    order = broker.connect("order")
    order.publish([bench.enclose(wanted(1))])
    for _ in range(SUSPECTED_AFTER):
        dying = broker.connect("inventory")
        assert dying.take(1, 0.0)
        dying.close()


def states(bench: Bench) -> list[tuple[Any, ...]]:
    return bench.rows("SELECT state, reason FROM dead_letters")


class Stormy(Consumer):
    """A consumer whose database goes away for the first so many batches."""

    storms = 0

    def work(self, deliveries: Sequence[Delivery], published: Any = ()) -> list[Envelope]:
        if self.storms:
            self.storms -= 1
            raise AWAY
        return super().work(deliveries, published)


class Counting(Maintenance):
    """Counts its looks into the outbox and its marks there; fails to clear as often as it is told to."""

    claims = marks = failures = 0

    def mark_published(self, ids: Collection[str]) -> None:
        self.marks += 1
        super().mark_published(ids)

    def claim(self, most: int, *, everything: bool = False) -> list[Envelope]:
        self.claims += 1
        return super().claim(most, everything=everything)

    def clear(self, delivery: Delivery) -> None:
        if self.failures:
            self.failures -= 1
            raise AWAY
        super().clear(delivery)


def worker(bench: Bench, broker: Broker, pace: Pace | None = None) -> tuple[Worker, Stormy, Counting]:
    """A worker for which no time passes."""
    sound = bench.consumer
    consumer = Stormy(
        sound.handling, sound.tables, sound.database, clock=sound.clock, new_id=sound.new_id, body_limit=262_144
    )
    maintenance = Counting(SERVICE.tables, bench.database, bench.clock)
    return (
        Worker("inventory", consumer, maintenance, broker, pace or Pace(), monotonic=lambda: 0.0),
        consumer,
        maintenance,
    )


def test_what_was_left_behind_is_published_once(bench: Bench, broker: Embedded) -> None:
    """While the broker confirms nothing, the relay does not claim the same messages over and over."""
    assert len(bench.consumer.work(bench.deliveries([wanted(1), wanted(2), wanted(3)]))) == 3
    relay, _, maintenance = worker(bench, broker, Pace(batch=1))
    for _ in range(20):
        relay.turn(patience=0.0)
    assert maintenance.claims == 4, "one for each of the three messages, and one that finds nothing"
    assert len(relay.in_flight) == 3
    relay.disconnect()


def test_vain_attempts_to_reach_the_broker_are_one_line_in_the_log(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever of its two connections fails first, and however often; each pause is longer than the one before."""
    caplog.set_level(logging.INFO)
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        patient, _, _ = worker(bench, RabbitMQ(f"amqp://127.0.0.1:{unheard.getsockname()[1]}"))
        pauses = [patient.round() for _ in range(4)]
    assert pauses == sorted(set(pauses))
    assert [each.levelname for each in caplog.records] == ["WARNING"]
    assert "Connection refused" in caplog.text


def test_bad_weather_does_not_make_a_message_lethal(bench: Bench, broker: Embedded) -> None:
    """Only attempts that no process survived are counted against a message that is worked alone."""
    suspicious(bench, broker)
    patient, consumer, _ = worker(bench, broker)
    consumer.storms = 2 * ATTEMPTS_ALONE
    for _ in range(2 * ATTEMPTS_ALONE):
        assert patient.round(patience=0.0) > 0.0
    assert patient.round(patience=0.0) == 0.0
    assert states(bench) == []
    assert bench.rows("SELECT status FROM reservations") == [("reserved",)]
    patient.disconnect()


def test_nobody_is_suspected_for_ever(bench: Bench, broker: Embedded) -> None:
    """Who is suspected is cleared before the acknowledgment: when that fails it comes again, and then it is cleared."""
    suspicious(bench, broker)
    unlucky, _, maintenance = worker(bench, broker)
    maintenance.failures = 1
    assert unlucky.round(patience=0.0) > 0.0
    unlucky.disconnect()
    assert [state for state, _ in states(bench)] == ["suspect"]
    lucky, _, _ = worker(bench, broker)
    assert lucky.round(patience=0.0) == 0.0
    assert states(bench) == []
    lucky.disconnect()
    assert not broker.connect("inventory").take(1, 0.0)


def test_a_stop_does_not_wait_once_more_for_a_database_that_is_away(bench: Bench, broker: Embedded) -> None:
    """What was confirmed stays unmarked, and is published again by the next worker; when the database is back, or only
    the broker was away, it is marked."""
    order = broker.connect("order")
    for storms, marks in ((1, 0), (0, 1)):
        order.publish([bench.enclose(wanted(marks))])
        ending, consumer, maintenance = worker(bench, broker)
        consumer.storms = storms
        assert (ending.round(patience=0.0) > 0.0) == bool(storms)
        ending.confirmed = [uuid7(bench.now())]
        ending.finish(patience=0.0)
        assert maintenance.marks == marks


class Killed(BaseException):
    """The process is gone: no handler of an exception sees it."""


def lives(bench: Bench, broker: Embedded, *, acknowledges: bool = True) -> bool:
    """Whether a new worker, whose handlers kill it, survives a turn; it may lose the broker when it puts aside."""

    def kill(*_: Any) -> None:
        raise Killed

    class Forgetful(Counting):
        def dead_letter(self, delivery: Delivery, reason: str) -> None:
            super().dead_letter(delivery, reason)
            if not acknowledges:
                broker.cut("inventory")

    mortal, consumer, _ = worker(bench, broker)
    consumer.handling = replace(consumer.handling, handlers=dict.fromkeys(consumer.handling.handlers, kill))
    mortal.maintenance = Forgetful(SERVICE.tables, bench.database, bench.clock)
    try:
        mortal.round(patience=0.0)
    except Killed:
        return False
    finally:
        mortal.disconnect()
    return True


def test_a_lethal_message_that_was_put_aside_kills_nobody_more(bench: Bench, broker: Embedded) -> None:
    """When the acknowledgment is lost after it was put aside, it comes again, and is put aside again."""
    suspicious(bench, broker)
    assert [lives(bench, broker) for _ in range(ATTEMPTS_ALONE)] == [False] * ATTEMPTS_ALONE
    assert lives(bench, broker, acknowledges=False)
    assert lives(bench, broker)
    assert [state for state, _ in states(bench)] == ["parked"]
    assert broker.idle()


def test_a_lethal_message_that_is_replayed_is_put_aside_again(bench: Bench, broker: Embedded) -> None:
    """An operator's mistake kills a few workers, and not one after another for ever."""
    suspicious(bench, broker)
    while not lives(bench, broker):
        pass
    letters = SERVICE.tables.dead_letters
    with bench.database.transaction() as connection:
        assert len(letters.replay(connection, None, now=bench.now(), new_id=uuid7)) == 1
    assert [lives(bench, broker) for _ in range(ATTEMPTS_ALONE + 2)] == [False] * ATTEMPTS_ALONE + [True] * 2
    assert sorted(state for state, _ in states(bench)) == ["parked", "replayed"]
