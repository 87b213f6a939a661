"""When a soak counts as flat, on invented samples."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.benchmarks.soak.summary import process_table, summary, verdict
from tests.benchmarks.soak.verdict import complaints

SAMPLES = 20  # in a round
Course = Callable[[int, float], float]  # by round, and by hour since the begin


def samples(*, mib: Course = lambda _round, _hour: 65.0, **more: Any) -> list[dict[str, Any]]:
    """Seven rounds in two hours of one worker with this course of memory; `more` are courses of other figures."""
    fds, plans = more.get("fds", lambda *_: 11), more.get("plans", lambda *_: 13)
    found = []
    for number in range(7 * SAMPLES):
        moment = number // SAMPLES, 2 * number / (7 * SAMPLES)
        backend = {"kib": 2400.0, "contexts": 140 + plans(*moment), "plans": plans(*moment)}
        found.append(
            {
                "at": moment[1] * 3600,
                "round": moment[0],
                "phase": "idle",
                "ended": 10 * number,
                "failures": [],
                "processes": {
                    "order worker": [mib(*moment), fds(*moment)],
                    "postgresql for order worker 1": [2.5, 12],
                    "postgresql for order worker 2": [1.5, 12],
                },
                "backends": {"postgresql for order worker 1": backend},
            }
        )
    return found


def without(name: str, sample: Mapping[str, Any]) -> dict[str, Any]:
    """The sample as it would be had this process ended."""
    left = {each: held for each, held in sample["processes"].items() if each != name}
    return {**sample, "processes": left, "backends": {}}


FLAT = {
    "as it was": lambda _round, _hour: 65.0,
    "warming up": lambda turn, _hour: 50.0 if turn == 0 else 65.0,
    "one step": lambda turn, _hour: 65.0 if turn < 5 else 75.0,
    "a rise that ends": lambda _round, hour: 65.0 + 10 * min(hour, 0.8),
    "a saw": lambda _round, hour: 65.0 + 20 * (hour * 10 % 1),
    "more under load": lambda turn, hour: 65.0 + 5 * (hour * 3.5 % 1 > 0.5),
    "falling": lambda _round, hour: 65.0 - hour,
}
GROWING = {
    "2 MiB an hour": lambda _round, hour: 65.0 + 2 * hour,
    "more each round": lambda turn, _hour: 65.0 + turn,
    "a saw that climbs": lambda _round, hour: 65.0 + 3 * hour + 20 * (hour * 10 % 1),
    "ever slower, and on": lambda _round, hour: 65.0 + 10 * hour**0.5,
}


@pytest.mark.parametrize("course", FLAT)
def test_it_is_flat(course: str) -> None:
    """Neither what happens once nor what comes and goes is growth."""
    assert complaints(samples(mib=FLAT[course])) == []


@pytest.mark.parametrize("course", GROWING)
def test_it_grows(course: str) -> None:
    """What rises from pair to pair is growth, and is named."""
    (found,) = complaints(samples(mib=GROWING[course]))
    assert found.startswith("grows: order worker: ")


def test_a_descriptor_that_is_left_open_each_round_is_growth() -> None:
    """Files are counted one by one."""
    (found,) = complaints(samples(fds=lambda turn, _hour: 11 + turn))
    assert found.startswith("grows: order worker: 12, 14, 16 fds")


def test_files_that_are_opened_and_closed_are_not_growth() -> None:
    """More and more are open at times, and none for ever."""
    assert complaints(samples(fds=lambda turn, hour: 7 + 50 * turn * (hour * 10 % 1 > 0.2))) == []


def test_a_statement_that_is_prepared_anew_each_time_is_growth() -> None:
    """It shows in what the backend keeps prepared, and in its memory contexts."""
    found = complaints(samples(plans=lambda _round, hour: int(13 + 3600 * hour)))
    assert {each.partition(": ")[2].partition(": ")[0] for each in found} == {"postgresql for order worker 1"}
    assert len(found) == 2


def test_a_pool_may_fill_and_no_more_than_that() -> None:
    """A connection more in each round is not growth, until there are more than a process may have."""
    for many, expected in (1, []), (2, ["has 14 connections: postgresql for order worker"]):
        found = samples()
        for sample in found:
            opened = range(3, 3 + many * sample["round"])
            sample["processes"] |= {f"postgresql for order worker {number}": [1.5, 12] for number in opened}
        assert complaints(found) == expected


def test_a_process_that_ended_is_told() -> None:
    """A service has to live to the end; a connection may be closed."""
    found = samples()
    assert complaints([*found, without("order worker", found[-1])]) == ["ended: order worker"]
    assert complaints([*found, without("postgresql for order worker 2", found[-1])]) == []


def test_books_and_refusals_are_told() -> None:
    """Memory is not all that has to be right."""
    found = samples()
    found[30]["audit"] = ["SKU-1: 3 pieces are nowhere"]
    found[-1]["failures"] = ["looking: TimeoutError()"]
    assert complaints(found) == ["round 1: SKU-1: 3 pieces are nowhere", "looking: TimeoutError()"]


def test_a_summary_keeps_few_samples_and_says_what_is_wrong() -> None:
    """One in five minutes for each kind of process, the medians of each process, and the verdict."""
    kept = summary(samples(mib=GROWING["2 MiB an hour"]))
    assert kept["processes"]["order worker"]["MiB"] == [66.13, 67.27, 68.41, 2]
    assert len(kept["at"]) == len(kept["series"]["MiB"]["order worker"]) == 24
    assert kept["series"]["fds"]["all postgresql for order worker"] == [24] * 24
    assert "order worker" in process_table(kept["processes"], kept["processes"])
    assert verdict(kept).startswith("119 minutes, 1,390 orders: not flat.\n\n- grows: order worker")
    assert verdict(summary(samples())) == "119 minutes, 1,390 orders: flat."
