"""`fulfillment play`: the whole system in this process with its console open, orders coming in, and things to break."""

import fcntl
import secrets
import signal
import sys
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from order_service.cli.client.rendering import console
from order_service.cli.system.audit import audit_at_rest, auditor, report
from order_service.cli.system.breakable import BrokerFaults
from order_service.cli.system.embedded import OPERATOR, running_system
from order_service.cli.system.playground import play_in
from order_service.cli.system.scenarios import TIMINGS
from order_service.web.console.pages import Room
from shared.bootstrap import collecting_seldom
from shared.config import environment
from shared.service import services
from shared.terminal import harmless

SETTLING = 10.0  # seconds that orders under way have to come to rest in the end


@click.command(short_help="Watch orders move on a page, and break things; nothing to set up.")
@click.option("--folder", default="data/play", show_default=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--fresh", is_flag=True, help="Forget what is in the folder.")
@click.option("--port", default=8000, show_default=True, help="Where the pages are; 0 for any free port.")
@click.option("--rate", default=40, show_default=True, help="Orders a minute; the page can change it.")
@click.option("--minutes", default=30, show_default=True, help="For how long; the page can prolong it.")
@click.option("--seed", default=None, type=int, help="Of the ten minutes of trouble.")
@click.option("--browser/--no-browser", default=True, help="Open the page where there is a browser.")
def play(folder: Path, fresh: bool, port: int, rate: int, minutes: int, seed: int | None, browser: bool) -> None:
    """Everything here and now, with nothing to set up: watch orders move, break things, see them heal.

    What happened is kept in the folder: the next start goes on with it. Ctrl-C ends it and prints the books; exits 1
    when they do not add up.
    """
    screen = console()
    with owned(folder):
        if fresh:
            forget(folder)
        stop = stopped_by_signals()
        faults = BrokerFaults()
        settings = {**TIMINGS, "web_threads": "90"}  # for two dozen scripts that wait for news of their orders
        with collecting_seldom(), running_system(folder, settings, order_port=port, faults=faults) as system:
            room: Room = system.apps["order"].extensions["console"]
            chosen = secrets.randbelow(10_000) if seed is None else seed
            room.attached.audit = auditor(system.databases, room.now)
            ground = play_in(system, faults, rate=rate, minutes=minutes, seed=chosen)
            link = f"{system.urls['order']}/console/sign-in?word={room.sessions.invite(OPERATOR)}"
            screen.print(f"Open {link}", soft_wrap=True)
            screen.print("It signs you in once. Ctrl-C ends it, and prints the books.")
            if browser and has_browser():
                webbrowser.open(link)
            stop.wait()
            screen.print("\nending ...")
            ground.close()
            found = audit_at_rest(system.databases, wait=SETTLING)
            failures = list(system.failures)
    screen.print(report(found))
    for failure in failures:
        screen.print(harmless(failure), style="red")
    sys.exit(1 if found.violations or failures else 0)


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Nobody else plays with this folder meanwhile; ends the program with one line when somebody does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"somebody plays in {folder} already; choose another --folder")
        yield


def forget(folder: Path) -> None:
    """Remove the databases, and nothing else."""
    for name in services():
        for ending in ("", "-wal", "-shm"):
            (folder / f"{name}.db{ending}").unlink(missing_ok=True)


def stopped_by_signals() -> threading.Event:
    stop = threading.Event()

    def end(signal_number: int, frame: Any) -> None:
        stop.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, end)
    return stop


def has_browser() -> bool:
    """Whether there is a screen to open a window on; a browser in this terminal would be in the way."""
    known = environment()
    return sys.platform in ("darwin", "win32") or bool(known.get("DISPLAY") or known.get("WAYLAND_DISPLAY"))
