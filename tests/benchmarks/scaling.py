"""How costs grow: with workers, batches, orders under way, lines, one hot product, and orders in the database."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tests.benchmarks import looking
from tests.benchmarks.driving import Measured, drive, warm_up
from tests.benchmarks.filling import fill, place_template
from tests.benchmarks.load import Load
from tests.benchmarks.measure import machine
from tests.benchmarks.results import tell
from tests.benchmarks.servers import Servers
from tests.benchmarks.system import COUNTING, System, made, running, started

WORKERS = (1, 2, 4)
BATCHES = (1, 20, 200, 500)
OUTSTANDING = (1, 10, 100, 1_000, 10_000)
LINES = (1, 10, 100)
FULL = (0, 100_000, 1_000_000)
PURGING = {"OUTBOX_DAYS": "0.0001", "INBOX_DAYS": "0.0001"}


SWEEPS = ("workers", "batch", "outstanding", "lines", "hot", "database")


def measure(
    orders: int, full: Sequence[int] = FULL, seconds: float = 10.0, only: Sequence[str] = SWEEPS
) -> dict[str, Any]:
    """The sweeps. `orders` are placed for a point, fewer where each takes longer; `full` is from empty to fullest."""
    results: dict[str, Any] = {"machine": machine()}
    with Servers(**COUNTING) as servers:
        if "workers" in only:
            results["workers"] = [
                _restarting(servers, f"{count} workers", count, orders, workers=count) for count in WORKERS
            ]
        if "batch" in only:
            results["batch"] = [
                _restarting(servers, f"batches of {limit}", limit, some(orders, limit / 20), BATCH_LIMIT=str(limit))
                for limit in BATCHES
            ]
        if {"outstanding", "lines", "hot"} & set(only):
            with running(servers, web=["order"]) as system:
                results |= _in_one_system(system, orders, only)
        if "database" in only:
            results |= _in_full_databases(servers, orders, full, seconds)
        results["machine"] |= servers.versions()
    return results


def some(orders: int, share: float) -> int:
    """That share of the orders, but enough to measure, and not more than all."""
    return max(min(orders, 50), min(orders, int(orders * share)))


def _in_one_system(system: System, orders: int, only: Sequence[str]) -> dict[str, Any]:
    results: dict[str, Any] = {}
    load = Load(run="", database_url=system.databases["order"], orders=orders)
    warm_up(system, load)
    if "outstanding" in only:
        loads = [
            replace(load, outstanding=count, group=min(50, count), orders=max(some(orders, count / 100), count))
            for count in OUTSTANDING
            if count <= 3 * orders
        ]
        results["outstanding"] = [
            _point(system, f"{each.outstanding} under way", each.outstanding, each) for each in loads
        ]
    if "lines" in only:
        loads = [replace(load, lines=lines, orders=some(orders, 1 / lines)) for lines in LINES]
        results["lines"] = [_point(system, f"{each.lines} lines", each.lines, each) for each in loads]
    if "hot" in only:
        loads = [load, replace(load, skus=1)]
        results["hot"] = [_point(system, f"{each.skus} products", each.skus, each) for each in loads]
    return results


def _in_full_databases(servers: Servers, orders: int, full: Sequence[int], seconds: float) -> dict[str, Any]:
    """A fresh order among none, many, very many finished ones: its cost, what looking costs, starting, purging."""
    results: dict[str, Any] = {"database": [], "looks": [], "starts": []}
    system = made(servers)
    load = Load(run="", database_url=system.databases["order"], orders=orders)
    at_rate = replace(load, rate=50.0, orders=int(50 * seconds), group=0)
    there = 0
    for size in full:
        if size > there:
            began = time.monotonic()
            with started(system):
                template = place_template(system)
            fill(system, template, size - there, there)
            print(f"filled to {size:,} orders in {time.monotonic() - began:.0f} s", flush=True)
            there = size
        with started(system, web=["order"], one_by_one=True) as starts:
            results["starts"].append({"at": size, **starts})
            warm_up(system, load)
            saturated = _point(system, f"{size:,} orders there", size, load)
            quiet = tell(drive(system, f"{size:,} orders there, 50/s", at_rate)).as_dict()
            results["database"].append(saturated | {"quiet": quiet})
            results["looks"].append({"at": size, **looking.median_times(system)})
    results["plans"] = looking.plans(system, replace(at_rate, orders=20))
    with started(system, web=["order"], settings=PURGING):
        warm_up(system, load)
        results["purging"] = tell(drive(system, "50/s while purging", at_rate)).as_dict()
    return results


def _restarting(servers: Servers, what: str, at: int, orders: int, workers: int = 1, **settings: str) -> dict[str, Any]:
    with running(servers, workers=workers, settings=settings) as system:
        load = Load(run="", database_url=system.databases["order"], orders=orders)
        warm_up(system, load)
        return _point(system, what, at, load)


def _point(system: System, what: str, at: int, load: Load) -> dict[str, Any]:
    measured: Measured = tell(drive(system, what, load))
    return {"at": at, **measured.as_dict()}
