"""What a worker's connections keep on PostgreSQL does not grow with batches, nor with hours without any."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime

import pytest
from sqlalchemy import text

from order_service.placing import place
from order_service.terms import terms
from shared.bootstrap import build_worker, pace_from, system_topology
from shared.clock import DatabaseClock
from shared.config import load
from shared.database import Database, Transaction
from shared.messaging.brokers.embedded import Embedded
from shared.messaging.worker import Worker
from shared.migrate import migrate
from shared.service import services
from tests.component.orders import wanted

PREPARED = text("SELECT statement FROM pg_prepared_statements ORDER BY statement")
MEMORY = text("SELECT sum(total_bytes)::int8 FROM pg_backend_memory_contexts")
UNDER_WAY = text("SELECT count(*) FROM sagas WHERE wake_at IS NOT NULL")
WARM_UP, ORDERS, IDLE = 15, 40, 150  # orders, orders, rounds of a worker
MINUTE = 60.0  # seconds from one round to the next: everything that is due now and then is due in each
TOLERANCE = 64 * 1024  # bytes; a statement that is prepared anew in each round takes some megabytes


class AskedAnew:
    """The database's clock, as it is whenever its last answer is too old."""

    def now(self, connection: Transaction) -> datetime:
        return DatabaseClock().now(connection)


@dataclass(frozen=True)
class Kept:
    """What PostgreSQL keeps for one connection."""

    statements: list[str]
    memory: int  # bytes


class System:
    """All four workers on this thread, on a PostgreSQL database each, where a minute passes from round to round."""

    def __init__(self, new_database: Callable[[], str], stack: ExitStack) -> None:
        self._broker, self._now, self._placed = Embedded(system_topology()), time.monotonic(), 0
        self._databases: dict[str, Database] = {}
        self._workers: list[Worker] = []
        self.rounds = 0
        for name, installed in services().items():
            service = replace(installed, clock=AskedAnew())
            settings = load(service=name, environ={"DATABASE_URL": new_database()})
            self._databases[name] = database = stack.enter_context(Database(settings.database_url))
            migrate(service, database)
            worker = build_worker(service, settings, database, self._broker, pace_from(settings))
            worker.monotonic = lambda: self._now
            self._workers.append(worker)
        self._terms = terms(load(service="order", environ={}))

    def round(self) -> None:
        self._now += MINUTE
        self.rounds += 1
        for worker in self._workers:
            assert worker.round(patience=0.0) == 0.0, worker.service

    def work(self, orders: int) -> None:
        """Place orders one after another, every fifth with a card that is declined, each when the one before ended."""
        for _ in range(orders):
            self._placed += 1
            card = "tok_visa" if self._placed % 5 else "tok_declined"
            order = replace(wanted(key=f"{self._placed}"), payment_token=card)
            with self._databases["order"].batch() as connection:
                place(connection, AskedAnew().now(connection), [order], self._terms)
            for _ in range(50):
                self.round()
                if not self.under_way():
                    break
            assert not self.under_way()

    def under_way(self) -> int:
        with self._databases["order"].batch() as connection:
            count: int = connection.execute(UNDER_WAY).scalar_one()
        return count

    def kept(self) -> dict[str, Kept]:
        """By service and kind of connection: the one of the worker's thread, and that of the pool."""
        found = {}
        for name, database in self._databases.items():
            for kind, opened in (("own", database.batch()), ("pooled", database.reading())):
                with opened as connection:
                    memory = connection.execute(MEMORY).scalar_one()
                    statements = [row.statement for row in connection.execute(PREPARED)]
                found[f"{name}, {kind}"] = Kept(statements, memory)
        return found


@pytest.fixture
def system(new_postgresql_database: Callable[[], str]) -> Iterator[System]:
    with ExitStack() as stack:
        yield System(new_postgresql_database, stack)


def test_statements_and_memory_stay_as_they_are(system: System) -> None:
    """After the first orders no statement is prepared any more, and no backend grows, neither at work nor idle."""
    system.work(WARM_UP)
    system.kept()  # looking takes two statements, too
    warm = system.kept()
    system.work(ORDERS)
    worked = system.kept()
    for _ in range(IDLE):
        system.round()
    idled = system.kept()
    print(f"{system.rounds} rounds of each worker, each with a transaction for every chore and one for a batch")
    for connection, kept in warm.items():
        print(connection, len(kept.statements), kept.memory, worked[connection].memory, idled[connection].memory)
        assert len(kept.statements) == len(set(kept.statements)), connection
        for later in (worked[connection], idled[connection]):
            assert later.statements == kept.statements, connection
            assert later.memory <= kept.memory + TOLERANCE, connection
