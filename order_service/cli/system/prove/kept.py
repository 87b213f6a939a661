"""docs/proof.md, from the proofs that were kept: nothing in it is written by hand."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from order_service.cli.system.prove.report import costs, headline, seconds
from order_service.cli.system.prove.score import Happened, Score, recoveries

HEAD = """\
# The proof

`make prove` starts a private RabbitMQ and PostgreSQL and all four services, two workers and two web processes of each.
Customers place orders of every fate over HTTP, give up waiting after three seconds and try again under the same
`Idempotency-Key`, while a script breaks one thing after another, and several at once: processes, servers, disks,
databases, queues, the card network, the carriers, and each network connection between any two of these. Every answer
that any customer ever got is kept. When all orders have ended, the answers are held against what the databases keep,
and the auditor holds all books together. It ends by itself, and exits with 1 if anything is wrong.

The same `--seed` gives the same script. `data/prove/report.html` shows the run, `answers.jsonl` beside it every answer.

This page is written by `fulfillment prove --keep docs/proof`, from the runs whose figures are kept there.
"""
RECOVERY = """\
## How long it takes to recover

By kind of fault, all runs together: seconds from the end of a fault until the next order ended ("moved"), and until all
orders had ended that were under way then ("caught up"), where nothing else was broken meanwhile. Orders whose fate is
to wait for a timeout are left out.
"""


def keep(score: Score, folder: Path) -> Path:
    """Add a proof to those that are kept, and write the page beside the folder anew; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{score.begun}-seed-{score.seed}.json"
    file.write_bytes(msgspec.json.encode(score) + b"\n")
    return write(folder)


def write(folder: Path) -> Path:
    """Write the page from what is kept in the folder."""
    page = folder.with_suffix(".md")
    page.write_text("\n".join(lines(kept(folder))))
    return page


def kept(folder: Path) -> list[Score]:
    return [msgspec.json.decode(file.read_bytes(), type=Score) for file in sorted(folder.glob("*.json"))]


def lines(scores: Sequence[Score]) -> Iterator[str]:
    yield HEAD
    for score in scores:
        yield from _run(score)
    yield RECOVERY
    yield "| kind of fault | times | moved: median | worst | caught up: median | worst |"
    yield "|---|---:|---:|---:|---:|---:|"
    everything: list[Happened] = [each for score in scores for each in score.done]
    for each in recoveries(everything):
        cells = [each.kind, str(each.faults), *seconds(each)]
        yield f"| {' | '.join(cells)} |"
    yield ""


def _run(score: Score) -> Iterator[str]:
    versions = ", ".join(f"{name} {version}" for name, version in score.versions.items())
    yield f"## Seed {score.seed}: {headline(score)}\n"
    yield f"`{score.command}`, {score.begun}, {versions}.\n"
    yield "| fate | orders | ended as |"
    yield "|---|---:|---|"
    for fate, ends in sorted(score.fates.items(), key=lambda each: -sum(each[1].values())):
        ended = ", ".join(f"{count:,} {how.replace('_', ' ')}" for how, count in sorted(ends.items()))
        yield f"| {fate} | {sum(ends.values()):,} | {ended} |"
    yield ""
    yield "\n".join(f"- {line.strip()}" for line in costs(score))
    yield ""
    for violation in score.violations:
        yield f"- **{violation}**"
    if score.violations:
        yield ""
