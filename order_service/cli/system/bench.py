"""`fulfillment bench`: what orders cost on this machine; the benchmark itself is part of the source tree only."""

import subprocess
import sys
from pathlib import Path

import click

ROOT = Path(__file__).parents[2]
PASSED_ON = {"ignore_unknown_options": True, "help_option_names": []}


@click.command(context_settings=PASSED_ON, short_help="Measure what orders cost on this machine.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def bench(options: tuple[str, ...]) -> None:
    """Measure throughput, latency and processor time per order, on servers that it starts for itself."""
    if not (ROOT / "tests" / "benchmarks" / "__main__.py").exists():
        raise click.ClickException("the benchmark comes with the source tree: run `make bench` there")
    command = [sys.executable, "-m", "tests.benchmarks", "bench", *options]
    sys.exit(subprocess.run(command, cwd=ROOT).returncode)  # noqa: S603 - the words are the caller's own
