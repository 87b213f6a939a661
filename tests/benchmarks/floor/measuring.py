"""Rounds of all contestants in turn, and what they say: medians, and ratios of the same round."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from tests.benchmarks import results
from tests.benchmarks.floor import contestants
from tests.benchmarks.floor.account import Account, shortfalls
from tests.benchmarks.floor.contestants import Run
from tests.benchmarks.measure import machine
from tests.benchmarks.servers import Servers
from tests.benchmarks.system import COUNTING

Contestant = Callable[[Servers, int], tuple[Run, Account | None]]


def measure(orders: int, rounds: int, bundle: int = 0, only: Sequence[str] = ()) -> dict[str, Any]:
    """All of them, round by round; each round begins with another one."""
    chosen: dict[str, Contestant] = {
        "messages": contestants.messages,
        "rows": contestants.rows,
        "pipeline": contestants.pipeline,
        "ours": contestants.ours,
    }
    if bundle:
        chosen["bundles"] = partial(contestants.pipeline, bundle=bundle)
    chosen = {name: each for name, each in chosen.items() if not only or name in only}
    runs: list[dict[str, Run]] = []
    accounts: dict[str, Account] = {}
    with Servers(**COUNTING) as servers:
        about = machine() | servers.versions()
        for number in range(rounds):
            first = number % len(chosen)
            runs.append({})
            for name in (*list(chosen)[first:], *list(chosen)[:first]):
                runs[-1][name], account = chosen[name](servers, orders)
                if account:
                    accounts[name] = account
                print(line(number, runs[-1][name]), flush=True)
    return {
        "machine": about,
        "rounds": runs,
        "summary": {name: summary(runs, name) for name in chosen},
        "shortfalls": [f"{name}: {each}" for name in accounts if name != "ours" and "ours" in accounts
                       for each in shortfalls(accounts["ours"], accounts[name])],
    }  # fmt: skip


def line(number: int, run: Run) -> str:
    split = " + ".join(f"{each:.2f}" for each in results.split(run["cpu"]))
    return f"round {number + 1}, {run['what']}: {run['per_second']:.0f} orders/s, CPU {run['cpu_total']:.2f} = {split}"


def summary(runs: Sequence[Mapping[str, Run]], name: str) -> dict[str, float]:
    """Medians of a contestant's rounds; its ratios to the pipeline are medians of those of the same round."""
    mine = [each[name] for each in runs]
    python, postgresql, rabbitmq = zip(*(results.split(run["cpu"]) for run in mine), strict=True)
    figures = {
        "orders/s": [run["per_second"] for run in mine],
        "CPU ms/order": [run["cpu_total"] for run in mine],
        "Python": python,
        "PostgreSQL": postgresql,
        "RabbitMQ": rabbitmq,
    }
    if "pipeline" in runs[0]:
        figures["orders/s to pipeline's"] = [each[name]["per_second"] / each["pipeline"]["per_second"] for each in runs]
        figures["pipeline's CPU to its"] = [each["pipeline"]["cpu_total"] / each[name]["cpu_total"] for each in runs]
    return {what: statistics.median(values) for what, values in figures.items()}


def summary_table(measured: Mapping[str, Any]) -> str:
    found = measured["summary"]
    head = list(next(iter(found.values())))
    return results.table(["floor", *head], ([name, *each.values()] for name, each in found.items()))
