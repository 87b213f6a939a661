"""`fulfillment demo`: the whole system in this process, orders of every fate, and the books."""

import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from order_service.cli.client.api import Refused, Unreachable
from order_service.cli.client.rendering import MARKS, console, line, marks, status
from order_service.cli.system.audit import audit_at_rest, report
from order_service.cli.system.embedded import System, running_system
from order_service.cli.system.scenarios import ACTS, LATENCY_MS, TIMINGS, Acts, Play, Scenario, Surprise
from order_service.fulfillment.workflow import newest
from shared.bootstrap import collecting_seldom
from shared.terminal import harmless

FRAME = 0.1  # seconds between looks at what moved


class Performance:
    """One scenario, played in a thread of its own."""

    def __init__(self, scenario: Scenario, system: System) -> None:
        self.scenario, self.play = scenario, Play(system.urls)
        self.failure: str | None = None
        self.shown = -1  # the version last shown as a line
        self._thread = threading.Thread(target=self._perform, name=scenario.title, daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def playing(self) -> bool:
        return self._thread.is_alive()

    def _perform(self) -> None:
        play, scenario = self.play, self.scenario
        try:
            scenario.script(play)
            play.until_end()
            ended, must = (play.order["status"], play.order["reason"]), (scenario.status, scenario.reason)
            if ended != must:
                raise Surprise(f"it ended as {ended}, and should have as {must}")
        except (Surprise, Refused, Unreachable) as error:
            self.failure = str(error)
        finally:
            play.close()


@click.command(short_help="Run orders of every fate here and now, and check the books.")
def demo() -> None:
    """Run everything here and now, with nothing to set up: orders of every fate, and the books at the end.

    Exits 0 only if every order ended as it should and the books add up.
    """
    screen = console()
    screen.print("Four services, a broker and four databases in this process. Shorter timings than a shop has:")
    screen.print(*(f"  {name.upper()}={text}" for name, text in TIMINGS.items()), sep="\n", highlight=False)
    screen.print()
    screen.print(legend())
    screen.print()
    try:
        with tempfile.TemporaryDirectory(prefix="fulfillment-") as folder, collecting_seldom():
            well = perform(Path(folder), screen)
    except KeyboardInterrupt:
        screen.print("stopped")
        sys.exit(130)
    sys.exit(0 if well else 1)


def perform(folder: Path, screen: Console, acts: Acts = ACTS) -> bool:
    """Play the acts and audit the books, with data in `folder`; says whether all went as it must."""
    began = time.monotonic()
    with running_system(folder, {**TIMINGS, "network_latency_ms": str(LATENCY_MS)}) as system:
        cast = [[Performance(each, system) for each in act] for act in acts]
        everybody = [performance for act in cast for performance in act]
        with _screen(screen, everybody) as show:
            for act in cast:
                for each in act:
                    each.start()
                while any(each.playing for each in act) and not system.failures:
                    time.sleep(FRAME)
                    show()
                show()
        found = audit_at_rest(system.databases, wait=10.0)
        screen.print()
        screen.print(report(found))
        failures = [f"{each.scenario.title}: {each.failure}" for each in everybody if each.failure]
        failures += [*system.failures, *(found.under_way)]
    for failure in failures:
        screen.print(harmless(failure), style="red", highlight=False)
    well = not failures and not found.violations
    ended = f"{len(everybody)} orders ended as they should" if not failures else "not everything ended as it should"
    screen.print(f"{ended}; {time.monotonic() - began:.1f} s", style="bold green" if well else "bold red")
    return well


@contextmanager
def _screen(screen: Console, everybody: list[Performance]) -> Iterator[Callable[[], None]]:
    """A function to be called now and then: on a terminal it redraws the board, elsewhere it prints what moved."""
    if not screen.is_terminal:
        began = time.monotonic()
        yield lambda: _print_news(screen, everybody, time.monotonic() - began)
        return
    with Live(board(everybody), console=screen, auto_refresh=False) as live:
        yield lambda: live.update(board(everybody), refresh=True)


def _print_news(screen: Console, everybody: list[Performance], elapsed: float) -> None:
    for each in everybody:
        order = each.play.order
        if order and order["version"] != each.shown:
            each.shown = order["version"]
            screen.print(f"{elapsed:5.1f} s  {each.scenario.title:42} {line(order)}", soft_wrap=True, highlight=False)


def legend() -> Text:
    """The steps in their order, and what the marks beside them mean."""
    text = Text(f"Steps: {', '.join(step.name for step in newest().steps)}\nMarks: ")
    for name, (mark, color) in MARKS.items():
        text.append(mark, color).append(f" {name}  ")
    return text.append("\nA number beside a mark says how often it was asked.")


def board(everybody: list[Performance]) -> Table:
    """All orders so far, one a row."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("order", "steps", "status"):
        table.add_column(heading)
    for each in everybody:
        if order := each.play.order:
            table.add_row(each.scenario.title, Text(" ").join(marks(order)), status(order))
    return table
