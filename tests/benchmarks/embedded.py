"""The whole system in one process, on SQLite with synchronous=FULL, and the bare commits that it needs."""

import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import event, text

from order_service.domain import NewOrder, Wish
from order_service.placing import place
from shared.bootstrap import build_worker, collecting_seldom, pace_from, system_topology
from shared.database import Database
from shared.messaging.broker import Delivery
from shared.messaging.brokers.embedded import Embedded, EmbeddedConnection
from shared.messaging.notifier import Notifier
from shared.messaging.worker import Worker
from shared.migrate import migrate
from shared.service import services
from tests.benchmarks.load import ADDRESS, TERMS
from tests.benchmarks.measure import percentile
from tests.benchmarks.system import GOODS, SKUS

GROUP, OUTSTANDING = 50, 1_000
PATIENCE = 60.0  # seconds


class Noting(Embedded):
    """Notes when the order service last acknowledged something about an order: right after it had committed it."""

    def __init__(self) -> None:
        super().__init__(system_topology())
        self.heard: dict[str, float] = {}

    def connect(self, service: str) -> EmbeddedConnection:
        connection = super().connect(service)
        if service == "order":
            acknowledge = connection.acknowledge

            def note(deliveries: Sequence[Delivery]) -> None:
                acknowledge(deliveries)
                now = time.time()
                self.heard.update((each.envelope.correlation_id, now) for each in deliveries)

            connection.acknowledge = note  # type: ignore[method-assign]
        return connection


class Shop:
    """All workers in threads of this process, and a way to place orders."""

    def __init__(self, folder: Path, stack: ExitStack, *, counting: bool = False) -> None:
        self.broker, self.commits = Noting(), 0
        stop = threading.Event()
        for name, service in services().items():
            settings = service.settings(environ={}, database_url=f"sqlite:///{folder}/{name}.db")
            database = Database(settings.database_url)
            stack.callback(database.dispose)
            if counting:
                event.listen(database.engine, "connect", lambda opened, _: opened.set_trace_callback(self._count))
            migrate(service, database, seed=False)
            with database.transaction() as connection:
                connection.exec_driver_sql(SERIES)
                for statement in GOODS.get(name, []):
                    statement = statement.replace("generate_series(0, :last) n", "series").replace("now()", NOW)
                    connection.execute(text(statement))
            notifier = Notifier(database)
            worker = build_worker(service, settings, database, self.broker, pace_from(settings))
            notifier.listen(worker.wake, other_processes=False)
            thread = threading.Thread(target=worker.run, args=(stop,), name=name)
            thread.start()
            stack.callback(self._end, worker, stop, thread)
            if name == "order":
                self.database, self._wakeup = database, notifier
        self._number = 0

    def place(self, count: int) -> list[str]:
        wanted = [self._new_order() for _ in range(count)]
        with self.database.batch() as connection:
            outcomes = place(connection, datetime.now(UTC), wanted, TERMS)
        self._wakeup.notify()
        return [outcome.order_id for outcome in outcomes]  # type: ignore[union-attr]

    def place_at(self, orders: int, rate: float) -> dict[str, float]:
        """Place one after another, so many a second; returns when each was due, by its id."""
        began, due = time.time(), dict[str, float]()
        for number in range(orders):
            at = began + number / rate
            time.sleep(max(0.0, at - time.time()))
            due[self.place(1)[0]] = at
        return due

    def under_way(self) -> int:
        with self.database.reading() as connection:
            return int(connection.execute(text("SELECT count(*) FROM sagas WHERE wake_at IS NOT NULL")).scalar_one())

    def wait(self, most: int = 0, pause: float = 0.01) -> None:
        """Return when at most so many orders are under way; raises TimeoutError."""
        until = time.monotonic() + PATIENCE
        while self.under_way() > most:
            if time.monotonic() > until:
                raise TimeoutError(f"{self.under_way()} orders do not end")
            time.sleep(pause)

    def _new_order(self) -> NewOrder:
        self._number += 1
        return NewOrder(
            principal="customer:alice",
            customer_id="alice",
            path="/orders",
            key=str(self._number),
            body_hash="b" * 64,
            lines=[Wish(sku=f"SKU-{self._number % SKUS}", quantity=1)],
            payment_token="tok_visa",
            ship_to=ADDRESS,
        )

    def _count(self, statement: str) -> None:
        self.commits += statement == "COMMIT"

    def _end(self, worker: Worker, stop: threading.Event, thread: threading.Thread) -> None:
        stop.set()
        worker.wake()
        thread.join()


NOW = "'2026-01-01T00:00:00.000000+00:00'"
SERIES = f"""
    CREATE TEMP VIEW series AS WITH RECURSIVE series (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM series LIMIT {SKUS})
    SELECT n FROM series
"""


def measure(orders: int = 5_000, rate: float = 50.0, seconds: float = 10.0) -> dict[str, Any]:
    """Orders a second when saturated, latency at a rate, and how long the commits of one order take by themselves."""
    with tempfile.TemporaryDirectory(prefix="bench") as folder, ExitStack() as stack:
        shop = Shop(Path(folder), stack)
        stack.enter_context(collecting_seldom())
        shop.place(GROUP)
        shop.wait()
        cpu, began = time.process_time(), time.time()
        for _ in range(0, orders, GROUP):
            shop.wait(OUTSTANDING - GROUP, pause=0.02)
            shop.place(GROUP)
        shop.wait()
        ended = max(shop.broker.heard.values())
        results = {
            "orders": orders,
            "per_second": orders / (ended - began),
            "cpu": (time.process_time() - cpu) * 1000 / orders,
        }
        results |= _at_rate(shop, int(rate * seconds), rate)
    with tempfile.TemporaryDirectory(prefix="bench") as folder, ExitStack() as stack:
        shop = Shop(Path(folder), stack, counting=True)
        shop.place(1)
        shop.wait()
        time.sleep(0.2)
        shop.commits = 0
        for _ in range(20):
            shop.place(1)
            shop.wait(pause=0.002)
        time.sleep(0.2)
        results["commits"] = shop.commits / 20
        results["bare p50"] = bare_commits(Path(folder), round(results["commits"]))
    return results


def _at_rate(shop: Shop, orders: int, rate: float) -> dict[str, float]:
    due = shop.place_at(orders, rate)
    shop.wait()
    latencies = [(shop.broker.heard[order_id] - at) * 1000 for order_id, at in due.items()]
    return {"p50": percentile(latencies, 50), "p99": percentile(latencies, 99)}


def bare_commits(folder: Path, commits: int, times: int = 100) -> float:
    """Milliseconds, the median, for so many small commits one after another, each as safe as ours."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE bare (body TEXT)")
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        for _ in range(commits):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO bare VALUES (?)", ["x" * 400])
            connection.execute("COMMIT")
        taken.append((time.perf_counter() - began) * 1000)
    connection.close()
    return statistics.median(taken)
