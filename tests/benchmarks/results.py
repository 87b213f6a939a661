"""Where results are kept, and how they read: one JSON file for each command, and tables for people."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from math import fsum
from pathlib import Path
from typing import Any

from tests.benchmarks.driving import Measured

FOLDER = Path(__file__).parents[2] / "docs" / "performance"
PARTIES = {"python": ("worker", "web", "system"), "postgresql": ("postgresql",), "rabbitmq": ("rabbitmq",)}


def save(name: str, results: Mapping[str, Any], *, keep: bool) -> None:
    """Print them as one line of JSON; keep them for the report as well."""
    if keep:
        FOLDER.mkdir(exist_ok=True)
        text = re.sub(r"\[[^\[\]{}]*\]", lambda m: re.sub(r"\s+", " ", m[0]), json.dumps(results, indent=1))
        (FOLDER / f"{name}.json").write_text(text + "\n")  # a list of values takes one line
    print(json.dumps(results))


def load(name: str) -> Any:
    """What was kept last; None when nothing was."""
    file = FOLDER / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else None


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table with aligned columns; floats with as many digits as matter."""
    texts = [list(head), *([shown(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(head))]
    aligned = [
        "| " + " | ".join(cell.rjust(width) if index else cell.ljust(width)
                          for index, (cell, width) in enumerate(zip(row, widths, strict=True))) + " |"
        for row in texts
    ]  # fmt: skip
    rule = "|" + "|".join("-" * (width + 1) + (":" if index else "-") for index, width in enumerate(widths)) + "|"
    return "\n".join([aligned[0], rule, *aligned[1:]])


def shown(value: Any) -> str:
    match value:
        case None:
            return "–"
        case float() if value != value:  # NaN
            return "–"
        case float() if abs(value) >= 100:
            return f"{value:,.0f}"
        case float() if abs(value) >= 10:
            return f"{value:.1f}"
        case float():
            return f"{value:.2f}"
        case int() if not isinstance(value, bool):
            return f"{value:,}"
    return str(value)


def split(cpu: Mapping[str, float]) -> list[float]:
    """Milliseconds of processor time an order: Python, PostgreSQL, RabbitMQ."""
    return [fsum(value for name, value in cpu.items() if name.endswith(ends)) for ends in PARTIES.values()]


def run_table(runs: Iterable[Mapping[str, Any]]) -> str:
    """Throughput, latency and processor time of runs."""
    head = ["run", "orders", "orders/s", "p50 ms", "p99", "p99.9", "CPU ms/order", "Python", "PostgreSQL", "RabbitMQ"]
    names = ("what", "orders", "per_second", "p50", "p99", "p999", "cpu_total")
    return table(head, ([*(run[name] for name in names), *split(run["cpu"])] for run in runs))


def process_table(runs: Iterable[Mapping[str, Any]]) -> str:
    """Processor time by process, and what an order costs in messages, statements, commits and bytes."""
    runs = list(runs)
    parties = sorted({name for run in runs for name in run["cpu"]})
    counts = list(dict.fromkeys(name for run in runs for name in run["per_order"]))
    rows = [[f"CPU ms: {name}", *(run["cpu"].get(name) for run in runs)] for name in parties]
    rows.append(["CPU ms: the client (not counted)", *(run["client_cpu"] for run in runs)])
    rows += [[name, *(run["per_order"].get(name) for run in runs)] for name in counts]
    return table(["per order", *(run["what"] for run in runs)], rows)


def tell(run: Measured) -> Measured:
    """Print one line about a run that has just ended."""
    print(
        f"{run.what}: {run.per_second:.0f} orders/s, p50 {run.p50:.1f} ms, CPU {run.cpu_total:.2f} ms/order", flush=True
    )
    return run
