"""The sweeps as SVG plots, one quantity a plot."""

import re
from collections.abc import Mapping, Sequence
from math import fsum
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

mpl.rcParams.update({
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "svg.fonttype": "none",
    "svg.hashsalt": "fulfillment",  # the same figures make the same file
})  # fmt: skip
SWEEPS = {  # by name: what is on the x axis, and whether it grows by factors
    "workers": ("workers per service", True),
    "batch": ("BATCH_LIMIT", True),
    "outstanding": ("orders under way", True),
    "lines": ("lines per order", True),
    "database": ("finished orders in the database", False),
}
PARTIES = {"Python": "worker", "PostgreSQL": "postgresql", "RabbitMQ": "rabbitmq"}
SOAKED = {
    "workers": r"(all )?\w+ worker",
    "APIs": r"(all )?\w+ web",
    "RabbitMQ": "rabbitmq.*",
    "PostgreSQL": "(all )?postgresql.*",
}


def plot_all(
    results: Mapping[str, Any], memory: Mapping[str, Any] | None, soak: Mapping[str, Any] | None, folder: Path
) -> list[str]:
    """Write a plot for each sweep there is; returns the names of the files."""
    drawn = []
    for name, (label, by_factors) in SWEEPS.items():
        if points := results.get(name):
            drawn.append(_save(_sweep(points, label, by_factors), folder, name))
    if memory:
        drawn.append(_save(_memory(memory["samples"]), folder, "memory"))
    if soak:
        drawn.append(_save(_soak(soak), folder, "soak"))
    return drawn


def _sweep(points: Sequence[Mapping[str, Any]], label: str, by_factors: bool) -> Figure:
    """Orders a second on the left, processor time an order on the right."""
    figure = Figure(figsize=(7.2, 2.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    at = [point["at"] for point in points]
    left.plot(at, [point["per_second"] for point in points], marker="o", color="#1f5fa8")
    left.set(xlabel=label, ylabel="orders/s", ylim=(0, 1.1 * max(point["per_second"] for point in points)))
    bottom = [0.0] * len(points)
    marks = range(len(points))
    for party, color in zip(PARTIES, ("#1f5fa8", "#5f9e6e", "#d98b3a"), strict=True):
        parts = [_share(point["cpu"], party) for point in points]
        right.bar(marks, parts, bottom=bottom, label=party, color=color, width=0.6)
        bottom = [under + part for under, part in zip(bottom, parts, strict=True)]
    right.set(xlabel=label, ylabel="CPU ms per order", ylim=(0, 1.4 * max(bottom)))  # room for the legend
    right.set_xticks(marks, [f"{each:,}" for each in at])
    right.legend(frameon=False, fontsize=8)
    if by_factors:
        left.set_xscale("log")
        left.set_xticks(at, [f"{each:,}" for each in at])
        left.minorticks_off()
    else:
        left.set_xticks([at[0], at[-1]], [f"{each:,}" for each in (at[0], at[-1])])
    return figure


def _share(cpu: Mapping[str, float], party: str) -> float:
    ends = ("worker", "web") if party == "Python" else (PARTIES[party],)
    return fsum(value for name, value in cpu.items() if name.endswith(ends))


def _memory(samples: Sequence[Mapping[str, Any]]) -> Figure:
    figure = Figure(figsize=(7.2, 2.6), layout="constrained")
    axes = figure.subplots()
    for name in samples[0]["memory"]:
        axes.plot([each["orders"] for each in samples], [each["memory"][name] for each in samples], label=name)
    axes.set(xlabel="orders worked", ylabel="MiB resident", ylim=(0, None))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.legend(frameon=False, fontsize=8, ncols=3)
    return figure


def _soak(soak: Mapping[str, Any]) -> Figure:
    figure = Figure(figsize=(7.2, 2.6), layout="constrained")
    axes = figure.subplots()
    series: Mapping[str, Sequence[float | None]] = soak["series"]["MiB"]
    for label, pattern in SOAKED.items():
        mine = [values for name, values in series.items() if re.fullmatch(pattern, name)]
        axes.plot(
            soak["at"], [fsum(value or 0.0 for value in moment) for moment in zip(*mine, strict=True)], label=label
        )
    axes.set(xlabel="minutes", ylabel="MiB", ylim=(0, None))
    axes.legend(frameon=False, fontsize=8, ncols=2)
    return figure


def _save(figure: Figure, folder: Path, name: str) -> str:
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    return f"{name}.svg"
