"""What it costs that very many look on: orders at a rate by HTTP, with and without streams and boards that are open."""

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from shared.config import environment
from tests.benchmarks.driving import Measured, drive, warm_up
from tests.benchmarks.load import Load
from tests.benchmarks.measure import machine
from tests.benchmarks.results import table, tell
from tests.benchmarks.servers import Servers
from tests.benchmarks.system import COUNTING, running
from tests.benchmarks.viewers import Looks

GATE = 1.25  # at most so many times as long takes a POST in its 99th percentile
BY_HTTP = {"group": 0, "connections": 50}
ENOUGH = {"STREAM_LIMIT": "1000", "KEY_STREAMS": "1000"}


def measure(rate: int, seconds: float, rounds: int, *, streams: int = 200, boards: int = 50) -> dict[str, Any]:
    """In turn, so many rounds each: nobody looks on, and all do. A tenth of the streams are of everything."""
    alone: list[Measured] = []
    watched: list[Measured] = []
    seen: list[dict[str, float]] = []
    with Servers(**COUNTING) as servers, running(servers, web=["order"], settings=ENOUGH) as system:
        load = Load(run="", database_url=system.databases["order"], rate=rate, orders=int(rate * seconds), **BY_HTTP)
        warm_up(system, load)
        looks = Looks(url=system.urls["order"], orders=streams - streams // 10, everything=streams // 10, boards=boards)
        for _ in range(rounds):
            alone.append(tell(drive(system, "nobody looks on", load)))
            with looking_on(looks) as found:
                watched.append(tell(drive(system, f"{streams} streams, {boards} boards", load)))
            seen.append(found)
        versions = servers.versions()
    runs = [each.as_dict() for pair in zip(alone, watched, strict=True) for each in pair]
    return {"machine": machine() | versions, "rate": rate, "runs": runs, "seen": seen, **_compared(alone, watched)}


@contextmanager
def looking_on(looks: Looks) -> Iterator[dict[str, float]]:
    """All look on, from when they are all connected; what they have seen is known after the block."""
    command = [sys.executable, "-m", "tests.benchmarks.viewers", looks.as_json()]
    seen: dict[str, float] = {}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    ) as viewers:
        try:
            assert viewers.stdout
            if viewers.stdout.readline() != "open\n":
                raise RuntimeError("not everybody could look on")
            yield seen
            said, _ = viewers.communicate(timeout=60)
        finally:
            viewers.kill()
    if viewers.returncode:
        raise RuntimeError("a stream was refused, or ended by itself")
    seen |= json.loads(said)


def _compared(alone: Sequence[Measured], watched: Sequence[Measured]) -> dict[str, float]:
    """How many times as much it is with all who look on, by medians."""
    figures = {
        "POST p99": lambda run: run.accepted_p99,
        "web CPU": lambda run: run.cpu["order web"],
        "CPU": lambda run: run.cpu_total,
    }
    return {
        name: statistics.median(map(figure, watched)) / statistics.median(map(figure, alone))
        for name, figure in figures.items()
    }


def streams_table(measured: Mapping[str, Any]) -> str:
    """Each run, and by how much all who look on make things dearer."""
    head = ["run", "POST p50 ms", "p99", "end p99", "CPU ms/order: order web", "all"]
    rows = [
        [run["what"], run["accepted_p50"], run["accepted_p99"], run["p99"], run["cpu"]["order web"], run["cpu_total"]]
        for run in measured["runs"]
    ]
    return table(
        head, [*rows, ["times as much", None, measured["POST p99"], None, measured["web CPU"], measured["CPU"]]]
    )
