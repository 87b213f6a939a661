"""What is kept of a soak, and the table of it."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.benchmarks.results import table
from tests.benchmarks.soak.verdict import Samples, complaints, courses, figures_of, kind, together

EVERY = 300.0  # seconds from one kept sample to the next
HEAD = ["process", "MiB after warm-up", "in the middle", "at the end", "MiB/hour"]
HEAD += ["open files after warm-up", "at the end", "prepared after warm-up", "at the end"]


def summary(samples: Samples, every: float = EVERY) -> dict[str, Any]:
    """The levels and slopes of each process, what is wrong, and a few samples of each kind of process."""
    processes: dict[str, dict[str, list[float]]] = defaultdict(dict)
    for course in courses(samples):
        processes[course.name][course.unit] = [_short(value) for value in (*course.levels, course.per_hour)]
    kept = list(_seldom(samples, every))
    shown = kinds(processes)
    return {
        "minutes": round(samples[-1]["at"] / 60, 1),
        "orders": samples[-1]["ended"],
        "complaints": complaints(samples),
        "processes": processes,
        "at": [round(sample["at"] / 60, 1) for sample in kept],
        "series": {
            unit: {name: [figures_of(sample).get(name, {}).get(unit) for sample in kept] for name in shown}
            for unit in ("MiB", "fds")
        },
    }


def kinds(processes: Iterable[str]) -> list[str]:
    """Of these names, each that stands for a kind, for all processes of it or for the only one: the services' first."""
    names = set(processes)
    return sorted((name for name in names if together(kind(name)) not in names), key=_place)


def process_table(processes: Mapping[str, Mapping[str, list[float]]], names: Iterable[str]) -> str:
    """Memory, descriptors and prepared statements of these in the first, second and third pair of rounds."""
    rows = []
    for name in names:
        units = processes[name]
        mib, fds, plans = (units.get(unit, [None] * 4) for unit in ("MiB", "fds", "plans"))
        rows.append([name, *mib, fds[0], fds[2], plans[0], plans[2]])
    return table(HEAD, rows)


def verdict(kept: Mapping[str, Any]) -> str:
    """How long it was, and that it was flat or what grew."""
    begin = f"{kept['minutes']:.0f} minutes, {kept['orders']:,} orders"
    return f"{begin}: flat." if not kept["complaints"] else "\n- ".join([f"{begin}: not flat.\n", *kept["complaints"]])


def _place(name: str) -> tuple[int, str]:
    owners = [bool(re.search(owner, name)) for owner in ("postgresql (?!for)", "postgresql for", "rabbitmq")]
    return sum(2**number for number, owns in enumerate(owners) if owns), name


def _short(value: float) -> float:
    """With as many digits as are worth keeping; counts stay whole."""
    return int(value) if value == int(value) else round(value, 2)


def _seldom(samples: Samples, every: float) -> Iterator[Mapping[str, Any]]:
    due = 0.0
    for sample in samples:
        if sample["at"] >= due:
            yield sample
            due = sample["at"] + every
