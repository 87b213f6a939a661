"""docs/performance.md and its plots, from the figures that were kept: what stands between markers is replaced."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.results import FOLDER, load, process_table, run_table, table
from tests.benchmarks.soak.summary import kinds, verdict
from tests.benchmarks.soak.summary import process_table as soak_table
from tests.benchmarks.soak.verdict import RULE
from tests.benchmarks.streams import streams_table

PAGE = FOLDER.parent / "performance.md"
README = FOLDER.parents[1] / "README.md"
MISSING = "*Not measured yet.*"
SWEEPS = {"workers": "workers", "batch": "limit", "outstanding": "under way", "lines": "lines", "hot": "products"}
ALTERNATIVE = {
    "workers": "Orders per second and processor time by workers",
    "batch": "Orders per second and processor time by batch limit",
    "outstanding": "Orders per second and processor time by orders under way",
    "lines": "Orders per second and processor time by lines per order",
    "database": "Orders per second and processor time by orders in the database",
    "memory": "Resident memory by orders worked",
    "soak": "Memory of all services, of PostgreSQL's processes and of RabbitMQ by time",
}


def write() -> list[str]:
    """Write the page and the plots anew; returns what had no figures yet."""
    from tests.benchmarks.plots import plot_all

    bench, scaling, parts = load("bench"), load("scaling"), dict[str, str]()
    if bench:
        parts["machine"] = table(["machine", ""], bench["machine"].items())
        parts["runs"] = run_table(bench["runs"])
        parts["costs"] = process_table(bench["runs"])
        ratio = bench["ratio to naive"]
        parts["gate"] = (
            f"Processor time per order: **{ratio:.3f}** of the naive settings' ({1 / ratio:.0f} times less)."
        )
    if scaling:
        parts |= {name: _sweep(scaling[name], label) for name, label in SWEEPS.items() if name in scaling}
        if "database" in scaling:
            parts |= _full(scaling)
    parts |= _others()
    for file in plot_all(scaling or {}, load("memory"), load("soak"), FOLDER):
        name = file.removesuffix(".svg")
        parts[name] += f"\n\n![{ALTERNATIVE[name]}](performance/{file})"
    _fill(README, {"peers": short_peers_table(peers["contestants"]) if (peers := load("peers")) else MISSING})
    missing = [name for name in re.findall(r"<!-- begin (\w+) -->", PAGE.read_text()) if name not in parts]
    _fill(PAGE, {**parts, **dict.fromkeys(missing, MISSING)})
    return missing


def _others() -> dict[str, str]:
    """The parts that are a table of one measurement each."""
    parts: dict[str, str] = {}
    if memory := load("memory"):
        first, last = memory["samples"][0], memory["samples"][-1]
        rows = [[name, size, last["memory"][name]] for name, size in first["memory"].items()]
        parts["memory"] = table(["MiB resident", f"{first['orders']:,} orders", f"{last['orders']:,}"], rows)
    if soak := load("soak"):
        shown = soak_table(soak["processes"], kinds(soak["processes"]))
        parts["soak"] = f"{RULE}\n\nCommit {soak['machine']['commit']}, {verdict(soak)}\n\n{shown}"
    if web := load("web"):
        names = ("what", "per_second", "p50", "p99", "cpu", "memory", "stop")
        head = ["server and handler", "requests/s", "p50 ms", "p99", "CPU ms/request", "MiB", "s to stop"]
        parts["web"] = table(head, ([run.get(name) for name in names] for run in web["runs"]))
    if streams := load("streams"):
        parts["streams"] = streams_table(streams)
    if peers := load("peers"):
        parts["peers"] = peers_table(peers["contestants"])
    if floor := load("floor"):
        names = ["orders/s", "CPU ms/order", "Python", "PostgreSQL", "RabbitMQ", "orders/s to pipeline's"]
        rows = [[name, *(each.get(column) for column in names)] for name, each in floor["summary"].items()]
        parts["floor"] = table(["contestant", *names], rows)
    if embedded := load("embedded"):
        names = ("per_second", "cpu", "p50", "p99", "commits", "bare p50")
        head = ["orders/s", "CPU ms/order", "p50 ms at 50/s", "p99", "commits/order", "as many bare commits, ms"]
        parts["embedded"] = table(head, [[embedded[name] for name in names]])
    return parts


def _fill(page: Path, parts: Mapping[str, str]) -> None:
    """Replace what stands between each part's markers; raises LookupError where there are none."""
    text = page.read_text()
    for name, part in parts.items():
        text, count = re.subn(_between(name), lambda m, part=part: f"{m[1]}\n{part}\n{m[2]}", text, flags=re.DOTALL)
        if count != 1:
            raise LookupError(f"{page} has no place for {name}")
    page.write_text(text)


def peers_table(contestants: Sequence[Mapping[str, Any]]) -> str:
    """Who ends how many orders, at which cost, and how much more ours does in the same round."""
    rates = list(contestants[0]["rates"])
    head = ["same work", "orders/s", "CPU ms/order", "ours is", "by HTTP", "embedded"]
    head += [text for rate in rates for text in (f"p50 ms at {rate}", "p99")]
    rows = []
    for each in contestants:
        latencies = [each["rates"][rate] or {"p50": None, "p99": None} for rate in rates]
        ratios = [each["ratios"].get(other) or None for other in ("ours", "ours-http", "embedded")]
        rows.append([each["name"], each["per_second"], each["cpu_total"], *ratios])
        rows[-1] += [found[what] for found in latencies for what in ("p50", "p99")]
    return table(head, rows)


def short_peers_table(contestants: Sequence[Mapping[str, Any]]) -> str:
    """Three of them, for the README: the fastest peer that keeps no state, the fastest that does, and ours."""
    named = {each["name"]: each for each in contestants}
    light = next(iter(contestants[0]["rates"]))
    head = ["same work", "orders/s", "CPU ms/order", f"p50 ms at {light}"]
    rows = (named[name] for name in ("aio-pika", "restate", "ours-http"))
    return table(
        head, ([each["name"], each["per_second"], each["cpu_total"], each["rates"][light]["p50"]] for each in rows)
    )


def _between(name: str) -> str:
    return rf"(<!-- begin {name} -->).*?(<!-- end {name} -->)"


def _sweep(points: Sequence[Mapping[str, Any]], label: str) -> str:
    head = [label, "orders/s", "p50 ms", "p99", "CPU ms/order", "statements", "commits", "WAL bytes"]
    return table(
        head,
        (
            [point["at"], point["per_second"], point["p50"], point["p99"], point["cpu_total"]]
            + [point["per_order"][name] for name in ("statements", "commits", "wal bytes")]
            for point in points
        ),
    )


def _full(scaling: Mapping[str, Any]) -> dict[str, str]:
    points, looks, starts = scaling["database"], scaling["looks"], scaling["starts"]
    head = ["orders in the database", "orders/s", "CPU ms/order", "p50 ms at 50/s", "p99 at 50/s"]
    rows: list[list[Any]] = [
        [each["at"], each["per_second"], each["cpu_total"], each["quiet"]["p50"], each["quiet"]["p99"]]
        for each in points
    ]
    if purging := scaling.get("purging"):
        rows.append([f"{points[-1]['at']:,}, while purging", None, None, purging["p50"], purging["p99"]])
    sizes = [f"{each['at']:,}" for each in looks]
    plans = [[f"`{plan['statement'][:160]}`", ", ".join(plan["ways"]), plan["slowest"]] for plan in scaling["plans"]]
    return {
        "database": table(head, rows),
        "looks": table(["median ms", *sizes], _transposed(looks)),
        "starts": table(["seconds to start", *sizes], _transposed(starts)),
        "plans": table(
            ["statement", "finds rows by", "slowest ms"], [[plan[0].replace("|", "\\|"), *plan[1:]] for plan in plans]
        ),
    }


def _transposed(rows: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    return [[name, *(row[name] for row in rows)] for name in rows[0] if name != "at"]
