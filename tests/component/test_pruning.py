"""What was published and received long ago is forgotten, a little at a time; what is still owed never is."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from payment_service.service import SERVICE
from shared.bootstrap import system_topology
from shared.ids import uuid7
from shared.messaging.broker import Delivery
from shared.messaging.brokers.embedded import Embedded
from shared.messaging.durability.maintenance import Maintenance
from shared.messaging.envelope import enclose
from shared.messaging.pace import Pace
from shared.messaging.worker import PRUNED_AT_A_TIME, Worker
from tests.component.bench import Bench
from tests.component.test_consumer import wanted

TABLES = SERVICE.tables


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    bench = Bench(SERVICE, database_url)
    yield bench
    bench.close()


def said_and_heard(bench: Bench, count: int, at: datetime, *, published: bool = True) -> None:
    """So many messages in the outbox, published when they were written or not at all, and as many in the inbox."""
    messages = [enclose(wanted(number), at=at, new_id=uuid7) for number in range(count)]
    with bench.database.transaction() as connection:
        TABLES.outbox.add(connection, messages, at + timedelta(days=900))
        if published:
            TABLES.outbox.mark_published(connection, [each.id for each in messages], at)
            TABLES.inbox.take(connection, messages, at)


def counts(bench: Bench) -> tuple[int, int]:
    ((outbox, inbox),) = bench.rows("SELECT (SELECT COUNT(*) FROM outbox), (SELECT COUNT(*) FROM inbox)")
    return outbox, inbox


def test_old_rows_go_in_small_batches(bench: Bench) -> None:
    """Of 500 rows of 40 days ago a worker deletes 200 a turn until none is left; what is younger than its table's
    days stays, and so does what nobody has confirmed, however old; and such a leftover slows nothing down."""
    now = bench.now()
    said_and_heard(bench, 7, now - timedelta(days=50), published=False)
    said_and_heard(bench, 500, now - timedelta(days=40))
    said_and_heard(bench, 20, now - timedelta(days=20))
    said_and_heard(bench, 5, now - timedelta(days=1))
    maintenance = Maintenance(TABLES, bench.database, bench.clock)
    pace = Pace(outbox_kept=timedelta(days=7), inbox_kept=timedelta(days=30))
    worker = Worker("payment", bench.consumer, maintenance, Embedded(system_topology()), pace, monotonic=lambda: 0.0)
    left = [counts(bench)]
    for _ in range(4):
        worker.turn(patience=0.0)
        left.append(counts(bench))
    worker.disconnect()
    assert PRUNED_AT_A_TIME == 200
    assert left == [(532, 525), (332, 325), (132, 125), (12, 25), (12, 25)]


def test_whoever_purges_says_whether_there_is_more(bench: Bench) -> None:
    """The chore is due again at once while there is much to forget, and after its interval otherwise."""
    maintenance = Maintenance(TABLES, bench.database, bench.clock)
    long_ago = bench.now() - timedelta(days=400)
    said_and_heard(bench, 3, long_ago, published=False)
    said_and_heard(bench, 25, long_ago)
    days = timedelta(days=30)
    assert [maintenance.prune(days, days, days, 10) for _ in range(4)] == [True, True, False, False]
    assert counts(bench) == (3, 0)


def keep_letter(bench: Bench, number: int, state: str, at: datetime) -> None:
    """A dead letter that came then."""
    envelope = enclose(wanted(number), at=at, new_id=uuid7)
    with bench.database.transaction() as connection:
        TABLES.dead_letters.add(connection, [(Delivery(envelope=envelope, tag=0), "bug: it fails")], at)
        if state == "discarded":
            TABLES.dead_letters.discard(connection, [envelope.id])
        elif state != "parked":
            TABLES.dead_letters.replay(connection, [envelope.id], now=at, new_id=uuid7)
        if state == "replayed":
            TABLES.dead_letters.replayed(connection, TABLES.dead_letters.to_replay(connection, 1), at)


def test_dead_letters_that_are_settled_are_forgotten_when_they_are_old(bench: Bench) -> None:
    """Replayed or given up they go 90 days after they came, a few at a time; what nobody has decided stays for good."""
    old, young = bench.now() - timedelta(days=91), bench.now() - timedelta(days=89)
    states = ("parked", "discarded", "replayed", "replaying")
    for state in states:
        for number, at in enumerate([old, young] * 2):
            keep_letter(bench, number, state, at)
    days = timedelta(days=90)
    maintenance = Maintenance(TABLES, bench.database, bench.clock)
    assert [maintenance.prune(days, days, days, 3) for _ in range(3)] == [True, False, False]
    left = bench.rows("SELECT state, COUNT(*) FROM dead_letters GROUP BY state ORDER BY state")
    assert left == [("discarded", 2), ("parked", 4), ("replayed", 2), ("replaying", 4)]
