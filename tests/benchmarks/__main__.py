"""`python -m tests.benchmarks bench | scaling | web | streams | embedded | memory | floor | soak | report`: costs."""

import sys
from pathlib import Path

import click

from tests.benchmarks import embedded as one_process
from tests.benchmarks import memory as flatness
from tests.benchmarks import report as pages
from tests.benchmarks import results, saturation
from tests.benchmarks import scaling as sweeps
from tests.benchmarks import streams as onlookers
from tests.benchmarks import web as handlers
from tests.benchmarks.floor import measuring as floors
from tests.benchmarks.measure import machine
from tests.benchmarks.soak import running as soaking
from tests.benchmarks.soak.summary import process_table, verdict
from tests.benchmarks.soak.summary import summary as soak_summary
from tests.benchmarks.soak.verdict import RULE


@click.group(help=__doc__)
def main() -> None:
    pass


@main.command()
@click.option("--orders", default=10_000, show_default=True, help="How many when saturated; others follow from it.")
@click.option("--seconds", default=10.0, show_default=True, help="How long each rate is kept up.")
@click.option("--rates", default="50,150,300", show_default=True, help="Orders a second, open loop.")
@click.option("--keep/--no-keep", default=False, help="Keep the figures for docs/performance.md.")
def bench(orders: int, seconds: float, rates: str, keep: bool) -> None:
    """Orders as fast as they end, at rates, and with naive settings. Exits 1 when the gate does not hold."""
    measured = saturation.measure(orders, [int(rate) for rate in rates.split(",") if rate], seconds)
    ratio = saturation.ratio_to_naive(measured)
    print()
    print(
        results.table(
            [
                "machine",
                "",
            ],
            measured["machine"].items(),
        )
    )
    print()
    print(results.run_table(measured["runs"]))
    print()
    print(results.process_table(measured["runs"]))
    print(f"\nCPU per order is {ratio:.3f} of the naive settings'; the gate is {saturation.GATE}\n")
    results.save("bench", measured | {"ratio to naive": ratio}, keep=keep)
    sys.exit(0 if ratio <= saturation.GATE else 1)


@main.command()
@click.option("--orders", default=4_000, show_default=True, help="For each point; fewer where each takes longer.")
@click.option("--full", default="0,100000,1000000", show_default=True, help="Finished orders in the databases.")
@click.option("--seconds", default=10.0, show_default=True, help="How long 50 orders a second are kept up.")
@click.option("--only", default=",".join(sweeps.SWEEPS), show_default=True, help="Which sweeps.")
@click.option("--keep/--no-keep", default=False, help="Keep the figures for docs/performance.md.")
def scaling(orders: int, full: str, seconds: float, only: str, keep: bool) -> None:
    """How costs grow with workers, batches, orders under way, lines, a hot product, and orders in the database."""
    measured = sweeps.measure(orders, [int(size) for size in full.split(",")], seconds, only.split(","))
    results.save("scaling", (results.load("scaling") or {}) | measured, keep=keep)


@main.command()
@click.option("--requests", default=3_000, show_default=True, help="Of each kind, at each server.")
@click.option("--keep/--no-keep", default=False, help="Keep the figures for docs/performance.md.")
def web(requests: int, keep: bool) -> None:
    """POST and GET under waitress and granian, against a plain Flask and ORM handler."""
    results.save("web", handlers.measure(requests), keep=keep)


@main.command()
@click.option("--rate", default=150, show_default=True, help="Orders a second, open loop, by HTTP.")
@click.option("--seconds", default=20.0, show_default=True, help="How long, for each run.")
@click.option("--rounds", default=3, show_default=True, help="Runs of each kind, in turn.")
@click.option("--streams", "opened", default=200, show_default=True, help="A tenth of them of all orders.")
@click.option("--boards", default=50, show_default=True)
@click.option("--keep/--no-keep", default=False, help="Keep the figures for docs/performance.md.")
def streams(rate: int, seconds: float, rounds: int, opened: int, boards: int, keep: bool) -> None:
    """Orders with and without many who look on. Exits 1 when the 99th percentile of a POST suffers too much."""
    measured = onlookers.measure(rate, seconds, rounds, streams=opened, boards=boards)
    print(f"\n{onlookers.streams_table(measured)}\n")
    results.save("streams", measured, keep=keep)
    sys.exit(0 if measured["POST p99"] <= onlookers.GATE else 1)


@main.command()
@click.option("--orders", default=5_000, show_default=True)
@click.option("--seconds", default=10.0, show_default=True, help="How long 50 orders a second are kept up.")
@click.option("--keep/--no-keep", default=False, help="Keep the figures for docs/performance.md.")
def embedded(orders: int, seconds: float, keep: bool) -> None:
    """Everything in one process, on SQLite."""
    results.save("embedded", one_process.measure(orders, seconds=seconds), keep=keep)


@main.command()
@click.option("--orders", default=200_000, show_default=True)
@click.option("--keep/--no-keep", default=False, help="Keep the figures for docs/performance.md.")
def memory(orders: int, keep: bool) -> None:
    """How much memory every process has while very many orders pass through."""
    results.save("memory", flatness.measure(orders), keep=keep)


@main.command()
@click.option("--orders", default=8_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--bundle", default=50, show_default=True, help="Events of a type in one message, for `bundles`.")
@click.option(
    "--only", default="", help="Contestants, by commas: messages, rows, pipeline, ours, bundles. [default: all]"
)
@click.option("--keep/--no-keep", default=False, help="Keep the figures for docs/performance.md.")
def floor(orders: int, rounds: int, bundle: int, only: str, keep: bool) -> None:
    """What the same messages and rows cost without any service. Exits 1 when the floor leaves less behind than ours."""
    measured = floors.measure(orders, rounds, bundle, [name for name in only.split(",") if name])
    print(f"\n{floors.summary_table(measured)}\n")
    for each in measured["shortfalls"]:
        print(each, file=sys.stderr)
    results.save("floor", {name: measured[name] for name in ("machine", "summary")}, keep=keep)
    sys.exit(1 if measured["shortfalls"] else 0)


@main.command()
@click.option("--minutes", default=120.0, show_default=True)
@click.option("--rate", default=5.0, show_default=True, help="Orders a second while there is load.")
@click.option("--pause", default=30.0, show_default=True, help="Seconds from one sample to the next.")
@click.option(
    "--samples", default="data/soak.jsonl", show_default=True, type=click.Path(path_type=Path), help="For every sample."
)
@click.option(
    "--primed", default=4_000, show_default=True, help="Requests that each API answers before the first round."
)
@click.option("--keep/--no-keep", default=False, help="Keep the figures for docs/performance.md.")
def soak(minutes: float, rate: float, pause: float, samples: Path, primed: int, keep: bool) -> None:
    """Idling and light load in turn. Exits 1 when the memory or the open files of a process grow."""
    samples.parent.mkdir(exist_ok=True)
    kept = soak_summary(soaking.soak(minutes * 60, pause, rate, primed, samples))
    print(f"\n{process_table(kept['processes'], kept['processes'])}\n\n{RULE}\n\n{verdict(kept)}\n")
    results.save("soak", {"machine": machine()} | kept, keep=keep)
    sys.exit(1 if kept["complaints"] else 0)


@main.command()
def report() -> None:
    """Write docs/performance.md and its plots from the figures that were kept."""
    for missing in pages.write():
        print(f"no figures yet: {missing}")


if __name__ == "__main__":
    main()
