"""The main figures: orders as fast as they end and at given rates, in groups and by HTTP, and with naive settings."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tests.benchmarks.driving import drive, warm_up
from tests.benchmarks.load import Load
from tests.benchmarks.measure import machine
from tests.benchmarks.results import tell
from tests.benchmarks.servers import Servers
from tests.benchmarks.system import COUNTING, NAIVE, running

PIPELINE, NAIVELY = "pipeline, saturated", "pipeline, naive settings"
RATES = (50, 150, 300)  # orders a second
BY_HTTP = {"group": 0, "connections": 50}
GATE = 0.2  # at most so much of the naive settings' CPU time


def measure(orders: int, rates: Sequence[int] = RATES, seconds: float = 10.0) -> dict[str, Any]:
    """Run them all, one after another, on servers of their own."""
    runs = []
    with Servers(**COUNTING) as servers:
        with running(servers, web=["order"]) as system:
            load = Load(run="", database_url=system.databases["order"], orders=orders)
            warm_up(system, load)
            warm_up(system, replace(load, **BY_HTTP))
            runs.append(tell(drive(system, PIPELINE, load)))
            runs.append(tell(drive(system, "HTTP, saturated", replace(load, orders=orders // 2, **BY_HTTP))))
            for rate in rates:
                at_rate = replace(load, rate=float(rate), orders=int(rate * seconds))
                runs.append(tell(drive(system, f"pipeline, {rate}/s", at_rate)))
                runs.append(tell(drive(system, f"HTTP, {rate}/s", replace(at_rate, **BY_HTTP))))
        with running(servers, settings=NAIVE) as system:
            naive = replace(load, orders=max(50, orders // 20), group=1)
            warm_up(system, naive)
            runs.append(tell(drive(system, NAIVELY, naive)))
        versions = servers.versions()
    return {"machine": machine() | versions, "runs": [run.as_dict() for run in runs]}


def ratio_to_naive(results: dict[str, Any]) -> float:
    """The regression figure: CPU time per order, as a share of the same code's with naive settings in the same run."""
    cpu: dict[str, float] = {run["what"]: run["cpu_total"] for run in results["runs"]}
    return cpu[PIPELINE] / cpu[NAIVELY]
