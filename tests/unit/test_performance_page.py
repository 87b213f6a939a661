"""The figures that documents show are those that were kept."""

from pathlib import Path

import pytest

from tests.benchmarks import report
from tests.benchmarks.results import load, process_table, run_table

ROOT = Path(__file__).parents[2]


def tables() -> dict[str, str]:
    """By name, the tables that the kept figures make."""
    bench, peers = load("bench"), load("peers")
    return {
        "runs": run_table(bench["runs"]),
        "costs": process_table(bench["runs"]),
        "peers": report.peers_table(peers["contestants"]),
    }


@pytest.mark.parametrize("name", ["runs", "costs", "peers"])
def test_the_page_shows_what_was_kept(name: str) -> None:
    """Nobody has polished a figure by hand."""
    assert f"<!-- begin {name} -->\n{tables()[name]}\n" in report.PAGE.read_text()


def test_the_readme_shows_what_was_kept() -> None:
    """Its one table of figures is of the page's."""
    shown = report.short_peers_table(load("peers")["contestants"])
    assert f"<!-- begin peers -->\n{shown}\n" in report.README.read_text()


def test_every_plot_of_the_page_is_there() -> None:
    """And no other one is."""
    shown = {line.partition("(")[2].rstrip(")") for line in report.PAGE.read_text().splitlines() if line[:2] == "!["}
    assert shown == {f"performance/{file.name}" for file in (ROOT / "docs" / "performance").glob("*.svg")}
