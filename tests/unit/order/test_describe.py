"""What people are shown of the workflow is printed from the workflow."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from order_service.fulfillment.describe import duration, mermaid, table
from order_service.fulfillment.workflow import newest


def test_the_table_has_a_row_for_each_step() -> None:
    """Each row names the step, what it waits for, its events by their wire types, and its patience."""
    lines = table(newest()).splitlines()
    assert len(lines) == 2 + len(newest().steps)
    assert lines[2] == (
        "| `payment` | – | compensatable | `payment.requested` → `payment.authorized` \\| `payment.declined` "
        "| `payment.reversal_requested` → `payment.reversed` \\| `payment.reversal_refused` | 30 s × 3 |"
    )
    assert "payment, inventory; only if `needs_approval`" in lines[4]
    assert lines[8].startswith("| `dispatch` | capture (parallel) | retriable |")
    assert {line.count(" | ") for line in lines} == {5}


def test_the_diagram_shows_every_arrow() -> None:
    """Each step is a node, each wait an arrow, each refusal a dotted arrow back."""
    diagram = mermaid(newest()).splitlines()
    assert diagram[0] == "flowchart LR"
    for step in newest().steps:
        for name in step.after or ("placed",):
            assert f"    {name} --> {step.name}" in diagram
        if step.failure:
            assert f"    {step.name} -. {step.failure.type} .-> back" in diagram
    assert [line for line in diagram if line.endswith("--> done")] == ["    issue --> done", "    dispatch --> done"]


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(days=2), "2 days"),
        (timedelta(days=1), "1 day"),
        (timedelta(hours=36), "129600 s"),
        (timedelta(seconds=90), "90 s"),
        (timedelta(milliseconds=500), "0.5 s"),
    ],
)
def test_durations_are_short(length: timedelta, text: str) -> None:
    """Whole days are days, everything else is seconds."""
    assert duration(length) == text


def test_it_is_a_verb_of_the_order_service(tmp_path: Path) -> None:
    """`python -m order_service describe` prints the newest version, from anywhere, in ASCII where there is no more,
    and knows no version 99."""
    command = [sys.executable, "-m", "order_service", "describe"]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert printed.stdout == table(newest())
    plain = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert "`payment.requested` > `payment.authorized`" in plain.stdout
    refused = subprocess.run([*command, "--version", "99"], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "'99' is not" in refused.stderr
