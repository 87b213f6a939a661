"""Programs as processes that die with this one, and what can be done to them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BARE = (sys.executable, "-I", "-S")  # an interpreter that starts in 20 ms


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run, under which name. `user` is who it runs as, which only root may choose; empty: as this process."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    user: str = ""
    folder: str | None = None
    log: Path | None = None  # a file for all that it prints, which then nobody is told
    ends_by: signal.Signals = signal.SIGTERM  # what asks it to end in good order


def spawn(program: Program, **pipes: Any) -> "subprocess.Popen[str]":
    """Start it in a session of its own; `pipes` go to Popen. It is killed when this process ends, however that ends.

    Linux kills it when the *thread* that started it ends: so all are started by one thread, which lives to the end.
    """
    words = [*BARE, str(HERE / "tether.py"), str(os.getpid()), program.user, *program.command]
    given = {
        "env": program.environment,
        "cwd": program.folder,
        "stdin": subprocess.DEVNULL,
        "text": True,
        "errors": "backslashreplace",
        "start_new_session": True,  # a Ctrl-C is for this process, which ends them in good order
    }
    return _spawner().submit(_started, words, given | pipes).result()


@cache
def _spawner() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "spawner")


def _started(words: Sequence[str], given: Mapping[str, Any]) -> "subprocess.Popen[str]":
    return subprocess.Popen(words, **given)  # noqa: S603 - it is for running programs


def tree(root: int) -> list[int]:
    """A process and its descendants, parents first. Without Linux's /proc: only itself."""
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in _relations().items():
        children.setdefault(parent, []).append(pid)
    found = [root]
    for each in found:
        found += children.get(each, [])
    return found


def session(root: int) -> list[int]:
    """The processes of the session that a process began, itself left out: descendants, whoever their parent is now."""
    return [pid for pid, (_, leader) in _relations().items() if leader == root != pid]


def kill(processes: Iterable[int]) -> None:
    """SIGKILL, whatever they are doing."""
    for each in processes:
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def _relations() -> dict[int, tuple[int, int]]:
    """The parent and the session of every process."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            fields = stat.read_text().rpartition(")")[2].split()
            found[int(stat.parent.name)] = int(fields[1]), int(fields[3])
    return found


class Frozen:
    """A process and its descendants stand still until `thaw`, or until this process ends."""

    def __init__(self, root: int) -> None:
        words = [*BARE, str(HERE / "freezer.py"), *map(str, tree(root))]
        self._freezer = subprocess.Popen(  # noqa: S603 - our own file
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._freezer.stdout
        self._freezer.stdout.readline()

    def thaw(self) -> None:
        self._freezer.communicate()
