"""What looking into a database costs however full it is: times of single looks, and the plans of all that is asked."""

import json
import re
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from order_service.fulfillment.saga import OrderStatus
from order_service.queries import find_rows, list_orders
from order_service.service import SERVICE
from shared.config import load as settings_for
from shared.database import Database
from shared.ids import uuid7
from shared.messaging.consumer import Consumer
from shared.messaging.durability.maintenance import Maintenance
from shared.service import services
from tests.benchmarks.driving import drive
from tests.benchmarks.load import Load
from tests.benchmarks.system import WATCHER, System, started

LOOKS = 25
EXPLAINING = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_format": "json",
}
BATCH = re.compile(r"\(SELECT \* FROM json_to_recordset\(.*?\) AS r \((?:[^()]|\([^()]*\))*\)\)")
SMALL = {"stock", "products", "simulation", "dead_letters"}  # tables that do not grow with orders


def median_times(system: System) -> dict[str, float]:
    """Milliseconds that a look of each kind takes, in the order database."""
    database = Database(system.databases["order"])
    consumer = Consumer(
        SERVICE.handling(settings_for(service="order", environ={}), database),
        SERVICE.tables,
        database,
        clock=SERVICE.clock,
        new_id=uuid7,
        body_limit=2**18,
    )
    maintenance = Maintenance(SERVICE.tables, database, SERVICE.clock)
    with database.reading() as connection:
        some = list_orders(connection, limit=1)[0].id

    def reading(look: Callable[..., Any], *values: Any, **options: Any) -> Callable[[], Any]:
        def read() -> None:
            with database.reading() as connection:
                look(connection, *values, **options)

        return read

    looks = {
        "timers that are due": lambda: consumer.advance(200),
        "messages left behind": lambda: maintenance.claim(200),
        "backlog": reading(SERVICE.tables.outbox.backlog, 50_001),
        "one order": reading(find_rows, [some]),
        "the newest 50": reading(list_orders, limit=50),
        "a customer's newest 50": reading(list_orders, customer_id="alice", limit=50),
        "those that need attention": reading(list_orders, needs_attention=True, limit=50),
        "those under way": reading(list_orders, status=OrderStatus.PENDING, limit=50),
    }
    times = {name: _median(look) for name, look in looks.items()}
    database.dispose()
    return times


def _median(look: Callable[[], Any]) -> float:
    taken = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        look()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def plans(system: System, load: Load) -> list[dict[str, Any]]:
    """How every statement found its rows while orders were placed and worked: its text, tables, and ways to them."""
    log = system.servers.log
    with system.connect() as watcher:
        for name in services():
            for setting, value in EXPLAINING.items():
                watcher.execute(f"ALTER DATABASE \"bench_{name}\" SET {setting} = '{value}'")  # type: ignore[call-overload]
            watcher.execute(f'ALTER ROLE {WATCHER} IN DATABASE "bench_{name}" SET auto_explain.log_min_duration = -1')
        begin = log.stat().st_size
        with started(system, web=["order"]):
            drive(system, "explained", load)
            median_times(system)
        for name in services():
            for setting in EXPLAINING:
                watcher.execute(f'ALTER DATABASE "bench_{name}" RESET {setting}')  # type: ignore[call-overload]
    with log.open() as lines:
        lines.seek(begin)
        return _digest(lines.read())


def _digest(log: str) -> list[dict[str, Any]]:
    """One entry for each way in which a statement was done."""
    found: dict[str, dict[str, Any]] = {}
    for match in re.finditer(r"plan:\s*\n(\t\{.*?\n\t\})\s*\n", log, re.DOTALL):
        plan = json.loads(match[1].replace("\n\t", "\n"), strict=False)
        ways = sorted({way for way in _ways(plan["Plan"]) if way})
        text = BATCH.sub("batch", re.sub(r"\s+", " ", plan["Query Text"]))[:300]
        if ways:
            entry = found.setdefault(f"{text} {ways}", {"statement": text, "ways": ways, "times": 0, "slowest": 0.0})
            entry["times"] += 1
            entry["slowest"] = max(entry["slowest"], plan["Plan"].get("Actual Total Time", 0.0))
    return sorted(found.values(), key=lambda entry: -entry["times"])


def _ways(node: dict[str, Any]) -> Iterator[str]:
    """How a plan gets to the rows of tables that grow with orders; scans of all rows say so in capitals."""
    table = node.get("Relation Name", "")
    if table not in SMALL and not table.startswith("pg_"):
        if node["Node Type"] in ("Seq Scan", "Parallel Seq Scan"):
            yield f"ALL OF {table}"
        elif "Index Name" in node:
            yield node["Index Name"]
    for child in node.get("Plans", []):
        yield from _ways(child)
