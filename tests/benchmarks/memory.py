"""Resident memory of every process while very many orders pass through, by HTTP."""

from dataclasses import replace
from typing import Any

from tests.benchmarks.driving import drive
from tests.benchmarks.load import Load
from tests.benchmarks.measure import machine
from tests.benchmarks.saturation import BY_HTTP
from tests.benchmarks.servers import Servers
from tests.benchmarks.system import COUNTING, running


def measure(orders: int, samples: int = 20) -> dict[str, Any]:
    """A sample after each share of the orders, when all of them have ended."""
    found = []
    with Servers(**COUNTING) as servers, running(servers, web=["order"]) as system:
        load = replace(Load(run="", database_url=system.databases["order"]), orders=orders // samples, **BY_HTTP)
        for number in range(1, samples + 1):
            drive(system, "memory", load)
            found.append({"orders": number * load.orders, "memory": system.memory()})
            sizes = ", ".join(f"{name} {size:.0f}" for name, size in found[-1]["memory"].items())
            print(f"{number * load.orders:,} orders: {sizes} MiB", flush=True)
    return {"machine": machine(), "samples": found}
