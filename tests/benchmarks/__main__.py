"""`python -m tests.benchmarks bench | scaling | report`: what it costs, how it grows, and the pages that tell it."""

import sys

import click

from tests.benchmarks import results, saturation


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


if __name__ == "__main__":
    main()
