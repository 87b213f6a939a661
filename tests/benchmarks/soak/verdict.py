"""Whether a soak was flat: for every process, and for all processes of a kind together."""

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RULE = """\
The first of the seven rounds warms up. The other six are three pairs. In each pair the median of a figure is taken, and
of open files the fewest. A figure grows when it rises from the first pair to the second and again from the second to
the third, both times by more than its tolerance: 0.25 MiB, and 1 % of a larger memory; half an open file; half a
prepared statement; 2 memory contexts, and 1 % of more. PostgreSQL's processes open a database's files as they need them
and keep them, so theirs are shown and not judged; connections may be opened until a process has twelve, ten in its pool
and two of its threads' own. The run is flat when nothing grows, every process lives to the end, the books add up after
each round, and every request is answered."""
WARM_UP = 1  # rounds
TOLERANCE = {"MiB": (0.25, 0.01), "fds": (0.5, 0.0), "plans": (0.5, 0.0), "contexts": (2.0, 0.01)}  # and the share
COME_AND_GO = re.compile(r"postgresql for|rabbitmq inet_gethost")  # connections of a pool, lookups of addresses
TOGETHER = "all"
CONNECTIONS = 12  # of one process
Samples = Sequence[Mapping[str, Any]]
Figures = dict[str, dict[str, float]]  # by process and unit


@dataclass(frozen=True)
class Course:
    """How one figure went: its level in each of the three pairs of rounds, and the slope through all samples."""

    name: str
    unit: str
    levels: tuple[float, float, float]
    per_hour: float

    @property
    def grows(self) -> bool:
        if (self.unit == "fds" and "postgresql" in self.name) or self.name.startswith(f"{TOGETHER} postgresql for"):
            return False
        least, share = TOLERANCE[self.unit]
        first, middle, last = self.levels
        return min(middle - first, last - middle) > max(least, share * first)

    def __str__(self) -> str:
        first, middle, last = self.levels
        return f"{self.name}: {first:g}, {middle:g}, {last:g} {self.unit}, {self.per_hour:+.2f} an hour"


def complaints(samples: Samples) -> list[str]:
    """All that keeps a run from being flat, a sentence each."""
    found = [f"grows: {course}" for course in courses(samples) if course.grows]
    begin = next(sample for sample in samples if sample["round"] >= WARM_UP)
    found += [f"has {count} connections: {name}" for name, count in _connections(samples) if count > CONNECTIONS]
    ended = sorted(begin["processes"].keys() - samples[-1]["processes"].keys())
    found += [f"ended: {name}" for name in ended if not COME_AND_GO.match(name)]
    found += [f"round {sample['round']}: {each}" for sample in samples for each in sample.get("audit", [])]
    return found + list(samples[-1]["failures"])


def _connections(samples: Samples) -> list[tuple[str, int]]:
    """The most connections to PostgreSQL that each process of ours had at a time."""
    most: Counter[str] = Counter()
    for sample in samples:
        now = Counter(kind(name) for name in sample["processes"] if name.startswith("postgresql for"))
        most |= now
    return sorted(most.items())


def courses(samples: Samples) -> Iterator[Course]:
    """Of every process that was there in all three pairs of rounds, and of each kind that has several."""
    points: dict[tuple[str, str], list[tuple[Mapping[str, Any], float]]] = defaultdict(list)
    for sample in samples:
        if sample["round"] >= WARM_UP:
            for name, figures in figures_of(sample).items():
                for unit, value in figures.items():
                    points[name, unit].append((sample, value))
    for (name, unit), found in points.items():
        pairs: list[list[float]] = [[], [], []]
        for sample, value in found:
            pairs[(sample["round"] - WARM_UP) // 2].append(value)
        if all(pairs):
            first, middle, last = map(min if unit == "fds" else statistics.median, pairs)
            yield Course(name, unit, (first, middle, last), _slope([(s["at"] / 3600, v) for s, v in found]))


def figures_of(sample: Mapping[str, Any]) -> Figures:
    """The figures of each process, and under `all ‹kind›` the sums of each kind that has several."""
    figures: Figures = {name: {"MiB": mib, "fds": fds} for name, (mib, fds) in sample["processes"].items()}
    for name, backend in sample.get("backends", {}).items():
        figures.setdefault(name, {}).update(plans=backend["plans"], contexts=backend["contexts"])
    kinds: dict[str, list[str]] = defaultdict(list)
    for name in figures:
        kinds[kind(name)].append(name)
    for each, members in kinds.items():
        if len(members) > 1:
            units = dict.fromkeys(unit for member in members for unit in figures[member])
            figures[together(each)] = {
                unit: sum(figures[member].get(unit, 0.0) for member in members) for unit in units
            }
    return figures


def kind(name: str) -> str:
    """What a process is, without its number among its like."""
    return re.sub(r" \d+$", "", name)


def together(kind: str) -> str:
    """The name of all processes of a kind."""
    return f"{TOGETHER} {kind}"


def _slope(points: Sequence[tuple[float, float]]) -> float:
    hours, values = zip(*points, strict=True)
    return statistics.linear_regression(hours, values).slope if len(set(hours)) > 1 else 0.0
