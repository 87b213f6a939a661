"""A network as slow as it may be: a worker that waits for it is not taken for one that hangs."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from payment_service.service import SERVICE
from shared.bootstrap import system_topology
from shared.contracts import CaptureRequested, PaymentRequested, PaymentReversalRequested
from shared.ids import uuid7
from shared.messaging.broker import Connection
from shared.messaging.brokers.embedded import Embedded
from shared.messaging.consumer import Consumer
from shared.messaging.durability.maintenance import Maintenance
from shared.messaging.handling import Answers, Call
from shared.messaging.pace import Pace
from shared.messaging.worker import Worker
from tests.component.bench import Bench, order_id

WATCHDOG = MINUTE = 60.0  # seconds
LONGEST = WATCHDOG / 4
SLOW = LONGEST  # seconds until each answer, which is as slow as the settings allow
PAID = (
    PaymentRequested(order_id=order_id(1), amount=1999, currency="EUR", payment_token="tok_visa"),
    CaptureRequested(order_id=order_id(1), authorization_id=f"authorize-{order_id(1)}", amount=1999),
)


@dataclass
class SlowNetwork:
    """Answers as the honest one does, later. Time passes here and in the database; somebody looks meanwhile."""

    slow: float = SLOW
    slow_database: float = 0.0  # seconds for each transaction
    worker: Worker | None = None
    seconds: float = 0.0
    asked: list[str] = field(default_factory=list)
    seen_alive: set[bool] = field(default_factory=set)

    def monotonic(self) -> float:
        return self.seconds

    def worker_on(self, bench: Bench, broker: Embedded) -> Worker:
        honest = bench.consumer.handling

        def ask(calls: Sequence[Call]) -> Answers:
            assert self.worker
            self.asked += [each.key.partition(":")[2] for each in calls]
            self.seconds += self.slow
            self.seen_alive.add(self.worker.alive())
            return honest.ask(calls)

        def load(*given: Any) -> Any:
            self.seconds += self.slow_database
            return honest.load(*given)

        consumer = Consumer(
            replace(honest, ask=ask, load=load, longest_call=LONGEST),
            SERVICE.tables,
            bench.database,
            clock=bench.clock,
            new_id=uuid7,
            body_limit=262_144,
        )
        consumer.monotonic = self.monotonic  # type: ignore[method-assign]
        maintenance = Maintenance(SERVICE.tables, bench.database, bench.clock)
        self.worker = Worker(
            "payment", consumer, maintenance, broker, Pace(watchdog=WATCHDOG), monotonic=self.monotonic
        )
        return self.worker


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    with closing(Bench(SERVICE, database_url)) as bench:
        yield bench


def test_a_batch_waits_for_the_outside_for_less_than_half_the_watchdog(bench: Bench) -> None:
    """Of two calls that follow from each other the second is made when it is asked for again; its intent stays."""
    broker, network = Embedded(system_topology()), SlowNetwork()
    order, worker = broker.connect("order"), network.worker_on(bench, broker)
    warmed_up(worker, network, order, bench)
    order.publish([bench.enclose(each) for each in PAID])
    worker.turn(patience=0.0)
    assert network.asked == ["authorize"]
    assert network.seconds < WATCHDOG / 2
    assert bench.rows(f"SELECT status FROM payments WHERE order_id = '{order_id(1)}'") == [("capturing",)]
    order.publish([bench.enclose(PAID[1])])
    worker.turn(patience=0.0)
    assert network.asked == ["authorize", "capture"]
    assert network.seen_alive == {True}
    order.prefetch(10)
    facts = [each.envelope.type for each in order.take(10, 0.0) if each.envelope.correlation_id == order_id(1)]
    assert facts == ["payment.authorized", "payment.captured"]
    worker.disconnect()


def test_each_thing_that_a_worker_does_in_a_turn_has_a_watch_of_its_own(bench: Bench) -> None:
    """A batch that waits for almost as long as it may, and after it a letter that is replayed and does so, too."""
    undo = PaymentReversalRequested(order_id=order_id(2))
    bench.another(replace(bench.consumer.handling, ask=lambda calls: {})).work(bench.deliveries([wanted(2)]))
    broker, network = Embedded(system_topology()), SlowNetwork(slow=LONGEST - 0.1, slow_database=0.4)
    order, worker = broker.connect("order"), network.worker_on(bench, broker)
    warmed_up(worker, network, order, bench)
    (letter,) = bench.deliveries([undo])
    worker.maintenance.dead_letter(letter, "for a test")
    with bench.database.transaction() as connection:
        SERVICE.tables.dead_letters.replay(connection, None, now=bench.now(), new_id=uuid7)
    order.publish([bench.enclose(each) for each in PAID])
    network.seconds += MINUTE  # since the last look at the letters
    began = network.seconds
    worker.turn(patience=0.0)
    assert network.asked == ["authorize", "capture", "authorize", "void"]
    assert network.seconds - began > WATCHDOG
    assert network.seen_alive == {True}
    worker.disconnect()


def warmed_up(worker: Worker, network: SlowNetwork, order: Connection, bench: Bench) -> None:
    """Its first message is behind it: from now on it is given a batch at a time."""
    order.publish([bench.enclose(wanted(9))])
    worker.turn(patience=0.0)
    network.asked.clear()
    network.seconds = 0.0


def wanted(number: int) -> PaymentRequested:
    return PaymentRequested(order_id=order_id(number), amount=1999, currency="EUR", payment_token="tok_visa")
