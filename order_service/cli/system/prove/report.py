"""The scoreboard of a proof, for a terminal."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from order_service.cli.system.prove.score import Recovery, Score, recoveries
from shared.terminal import harmless

SHOWN = 30  # violations; the rest is counted


def report(score: Score) -> RenderableType:
    """Orders by fate, faults by kind, what it cost, and what is wrong."""
    sections: list[RenderableType] = [
        _fates(score),
        Text(),
        _faults(score),
        Text(),
        *map(Text, costs(score)),
        Text(),
        *_verdict(score),
    ]
    return Group(*sections)


def costs(score: Score) -> Iterator[str]:
    """What the system did so that nothing is wrong, and what customers saw of it."""
    yield f"{score.messages:,} messages, {score.duplicates:,} duplicates dropped, {score.retries:,} requests repeated, "
    yield f"{score.compensations:,} steps undone, {score.made_good:,} messages lost and made good by later ones"
    yield f"{score.answers:,} answers to customers; the slowest order took {score.longest:,.1f} s"
    for kind, count in score.bad_answers.items():
        yield f"  {count:,} × {kind}"


def seconds(recovery: Recovery) -> list[str]:
    """Median and worst until orders moved, and until all had caught up; a dash where it was not to be measured."""
    pairs = (recovery.moved, recovery.caught_up)
    return [f"{time:.1f}" if time is not None else "–" for pair in pairs for time in pair or (None, None)]


def headline(score: Score) -> str:
    """How many orders, faults and violations."""
    kinds = len({each.kind for each in score.done})
    wrong = len(score.violations)
    return (
        f"{score.orders:,} orders, {len(score.done):,} faults of {kinds} kinds in {score.seconds / 60:.1f} min: "
        f"{wrong:,} violation{'' if wrong == 1 else 's'}"
    )


def _fates(score: Score) -> Table:
    table = _table("orders", "placed", "ended as")
    for fate, ends in sorted(score.fates.items(), key=lambda each: -sum(each[1].values())):
        ended = ", ".join(f"{count:,} {how.replace('_', ' ')}" for how, count in sorted(ends.items()))
        table.add_row(fate, f"{sum(ends.values()):,}", ended)
    table.columns[2].justify = "left"
    return table


def _faults(score: Score) -> Table:
    table = _table("faults", "times", "moved after", "worst", "caught up after", "worst")
    for each in recoveries(score.done):
        table.add_row(each.kind, str(each.faults), *seconds(each))
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    return table


def _verdict(score: Score) -> Iterator[Text]:
    for each in score.faults:
        if each.undone:
            yield Text(f"could not be done: {harmless(f'{each.part}: {each.kind}: {each.undone}')}", "yellow")
    for violation in score.violations[:SHOWN]:
        yield Text(harmless(violation), "red")
    if more := score.violations[SHOWN:]:
        yield Text(f"and {len(more):,} more", "red")
    yield Text(headline(score), "bold red" if score.violations else "bold green")
