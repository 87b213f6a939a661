"""Whether a soak was flat: for every process, and for all processes of a kind together."""

import re
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RULE = (
    "The first of seven rounds warms up. The six that follow are parted into three pairs, and of each pair the median "
    "is taken. Something grows when it rises from the first pair to the second and again from the second to the third, "
    "each time by more than its tolerance: 1 % of a memory and at least 0.25 MiB; half a file descriptor; half a kept "
    "plan. A run is flat when nothing grows, all service processes live to the end, the books are right after each "
    "round, and all requests were answered."
)
WARM_UP = 1  # rounds
SHARE, LEAST = 0.01, 0.25  # of a memory; MiB
WHOLE = 0.5  # of what is counted in whole numbers
COME_AND_GO = re.compile(r"postgresql for|rabbitmq inet_gethost")
Samples = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Course:
    """How one figure went: its medians in the three pairs of rounds, and what it rose by in an hour."""

    name: str
    unit: str  # MiB, fds, plans
    medians: tuple[float, float, float]
    per_hour: float

    @property
    def grows(self) -> bool:
        tolerance = max(SHARE * self.medians[0], LEAST) if self.unit == "MiB" else WHOLE
        first, middle, last = self.medians
        return middle - first > tolerance and last - middle > tolerance

    def __str__(self) -> str:
        first, middle, last = self.medians
        return f"{self.name}: {first:g}, {middle:g}, {last:g} {self.unit}, {self.per_hour:+.2f} an hour"


def courses(samples: Samples) -> Iterator[Course]:
    """Of every process that was there in all three pairs of rounds, and of each kind that has several."""
    points: dict[tuple[str, str], list[tuple[Mapping[str, Any], float]]] = defaultdict(list)
    for sample in samples:
        for name, figures in figures_of(sample).items():
            for unit, value in figures.items():
                points[name, unit].append((sample, value))
    for (name, unit), found in points.items():
        later = [(sample, value) for sample, value in found if sample["round"] >= WARM_UP]
        pairs: list[list[float]] = [[], [], []]
        for sample, value in later:
            pairs[(sample["round"] - WARM_UP) // 2].append(value)
        if all(pairs):
            first, middle, last = map(statistics.median, pairs)
            yield Course(name, unit, (first, middle, last), per_hour([(s["at"] / 3600, v) for s, v in later]))


def figures_of(sample: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Of one sample: the figures of each process, and under "all …" the sums of each kind that has several."""
    figures: dict[str, dict[str, float]] = {
        name: {"MiB": mib, "fds": fds} for name, (mib, fds) in sample["processes"].items()
    }
    for name, backend in sample.get("backends", {}).items():
        figures.setdefault(name, {})["plans"] = backend["plans"]
    kinds: dict[str, list[dict[str, float]]] = defaultdict(list)
    for name, each in figures.items():
        kinds[kind(name)].append(each)
    for name, members in kinds.items():
        if len(members) > 1:
            units = set().union(*members)
            figures[f"all {name}"] = {unit: sum(each.get(unit, 0.0) for each in members) for unit in units}
    return figures


def kind(name: str) -> str:
    """What a process is, without its number among its like."""
    return re.sub(r" \d+$", "", name)


def per_hour(points: Sequence[tuple[float, float]]) -> float:
    """The slope of the straight line that fits best; 0 for a single moment."""
    hours, values = zip(*points, strict=True)
    return statistics.linear_regression(hours, values).slope if len(set(hours)) > 1 else 0.0


def complaints(samples: Samples) -> list[str]:
    """All that keeps a run from being flat, a sentence each."""
    found = [f"grows: {course}" for course in courses(samples) if course.grows]
    begin = next(sample for sample in samples if sample["round"] >= WARM_UP)
    ended = sorted(begin["processes"].keys() - samples[-1]["processes"].keys())
    found += [f"ended: {name}" for name in ended if not COME_AND_GO.match(name)]
    found += [f"round {sample['round']}: {each}" for sample in samples for each in sample.get("books", [])]
    return found + list(samples[-1]["failures"])
