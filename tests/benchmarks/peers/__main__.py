"""This project and its peers at the same work, in turn, round by round: throughput, CPU an order, latency.

python -m tests.benchmarks.peers --rounds 3 --only celery,ours
"""

import json
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from tests.benchmarks.measure import machine, percentile
from tests.benchmarks.peers.contestants import ALL, Contestant
from tests.benchmarks.peers.running import PEERS, ROOT, Measured, Running
from tests.benchmarks.report import peers_table
from tests.benchmarks.results import save
from tests.benchmarks.servers import Servers

SATURATED = "saturated"
AGAINST = ("ours", "ours-http", "embedded")  # whom the others are compared with
HEADROOM = 1.1  # how much more than a rate a contestant must manage to be measured at it
Results = dict[str, dict[str, dict[int, Measured | None]]]  # by contestant, load and round


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", default=5.0, show_default=True, help="Of each contestant at its most, in each round.")
@click.option("--rates", default="50,150", show_default=True, help="Orders per second to measure latency at.")
@click.option("--rate-seconds", default=4.0, show_default=True, help="At each of these rates.")
@click.option("--only", default=",".join(each.name for each in ALL), help="Contestants, by commas.  [default: all]")
@click.option("--keep/--no-keep", default=False, help="Keep the figures for docs/performance.md.")
def main(rounds: int, seconds: float, rates: str, rate_seconds: float, only: str, keep: bool) -> None:
    """Start servers, measure, print each measurement as a line of JSON and then tables."""
    chosen = [each for each in ALL if each.name in only.split(",")]
    for absent in [each for each in chosen if each.program and not (ROOT / each.program).exists()]:
        click.echo(f"{absent.name} is left out: there is no {absent.program}, which npm installs", err=True)
        chosen.remove(absent)
    if not PEERS.exists() and any(not each.is_ours for each in chosen):
        raise click.ClickException("the peers are not installed: make bench-peers installs and runs them")
    asked = [float(rate) for rate in rates.split(",") if rate]
    results: Results = defaultdict(lambda: defaultdict(dict))
    failed = False
    with Servers() as servers:
        about = machine() | servers.versions()
        click.echo(json.dumps({"machine": about}))
        for number in range(rounds):
            for contestant in turn(chosen, number):
                try:
                    measured = measure(contestant, servers, seconds, asked, rate_seconds)
                except (RuntimeError, subprocess.CalledProcessError) as error:
                    failed = True
                    click.echo(f"{contestant.name} is left out of round {number + 1}: {error}", err=True)
                    continue
                for load, each in measured.items():
                    results[contestant.name][load][number] = each
                    click.echo(line(number, contestant.name, load, each))
    kept = summary(results)
    click.echo(f"\n{peers_table(kept)}\n\n" + ", ".join(f"{name} {value}" for name, value in about.items()))
    if keep:
        save("peers", {"machine": about, "rounds": rounds, "contestants": kept}, keep=True)
    sys.exit(1 if failed else 0)


def turn(chosen: Sequence[Contestant], number: int) -> list[Contestant]:
    """Each round begins with another contestant, so that none always follows the same one."""
    first = number * 3 % len(chosen)
    return [*chosen[first:], *chosen[:first]]


def measure(
    contestant: Contestant, servers: Servers, seconds: float, rates: Sequence[float], rate_seconds: float
) -> dict[str, Measured | None]:
    """One contestant's round, in processes and databases of its own; None: it cannot keep up with that rate."""
    with Running(contestant, servers) as running:
        running.drive(seconds=0.5)  # to warm up
        most = running.drive(seconds=seconds)
        measured: dict[str, Measured | None] = {SATURATED: most}
        for rate in rates:
            fits = most.per_second > HEADROOM * rate
            measured[f"{rate:g}/s"] = running.drive(seconds=rate_seconds, rate=rate) if fits else None
        return measured


def line(number: int, name: str, load: str, measured: Measured | None) -> str:
    figures = asdict(measured) if measured else {}
    figures.pop("latencies", None)
    rounded = {key: round(each, 3) if isinstance(each, float) else each for key, each in figures.items()}
    if measured:
        rounded["cpu"] = {part: round(each, 3) for part, each in measured.cpu.items()}
    return json.dumps({"round": number + 1, "contestant": name, "load": load, **rounded})


def summary(results: Results) -> list[dict[str, Any]]:
    """What is kept of each contestant: medians of the rounds, paired ratios, latencies over all rounds."""
    kept = []
    for name, by_load in results.items():
        rounds = [each for each in by_load[SATURATED].values() if each]
        kept.append(
            {
                "name": name,
                "per_second": statistics.median(each.per_second for each in rounds),
                "each_round": [each.per_second for each in rounds],
                "ratios": {
                    other: paired(results.get(other, {}).get(SATURATED, {}), by_load[SATURATED]) for other in AGAINST
                },
                "cpu": {part: statistics.median(each.cpu[part] for each in rounds) for part in rounds[0].cpu},
                "cpu_total": statistics.median(each.cpu_total for each in rounds),
                "rates": {load: latency(list(by_load[load].values())) for load in by_load if load != SATURATED},
            }
        )
    return kept


def latency(rounds: Sequence[Measured | None]) -> dict[str, Any] | None:
    """p50 and p99 in milliseconds over all rounds, and of each; None for who could not keep up."""
    kept = [each for each in rounds if each]
    if len(kept) < len(rounds):
        return None
    together = [each for measured in kept for each in measured.latencies]
    each_round = [(each.p50, each.p99) for each in kept]
    return {"p50": percentile(together, 50), "p99": percentile(together, 99), "each_round": each_round}


def paired(ours: dict[int, Measured | None], theirs: dict[int, Measured | None]) -> str:
    """The median of how many times faster ours is in the same round."""
    pairs = [(mine, theirs[number]) for number, mine in ours.items() if number in theirs]
    ratios = [mine.per_second / each.per_second for mine, each in pairs if mine and each and each.per_second]
    return f"{statistics.median(ratios):.1f}x" if ratios else ""


if __name__ == "__main__":
    main()
