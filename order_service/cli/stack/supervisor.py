"""The stack: keeps programs running as processes that die with this one, and does to them what is asked."""

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from os import P_PID, WEXITED, WNOWAIT, waitid
from typing import Self

from order_service.cli.stack.processes import Frozen, Program, kill, session, spawn, tree

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0  # seconds before a process that died starts again
STEADY = 30.0  # seconds after which a death is a new story
PATIENCE = 15.0  # seconds to end in good order
BOOTING = 120.0  # seconds for a server to answer on a busy machine
LAST_WORDS = 30  # lines
Say = Callable[[str, str], None]  # name, line


class State(StrEnum):
    RUNNING = "running"
    FROZEN = "frozen"
    DOWN = "down"  # it died, and starts again in a moment unless its stack says no
    STOPPED = "stopped"


class NotReady(Exception):
    """What was waited for did not come; the text tells the last words of whoever should have come."""


class Stack:
    """Runs programs until told to stop. `say` is given each line that they print, and each about them.

    What was started together ends together, and what was started last ends first. From several threads, too.
    """

    def __init__(self, say: Say = lambda name, line: None, *, restarts: bool = True) -> None:
        """With `restarts`, what dies starts again."""
        self.say, self._restarts = say, restarts
        self._kept: dict[str, _Kept] = {}
        self._layers: list[list[str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self, *programs: Program) -> None:
        """Start them; a name that was stopped before starts anew, and ends with those that it was started with."""
        known = {name for layer in self._layers for name in layer}
        self._layers.append([each.name for each in programs if each.name not in known])
        for program in programs:
            self._kept[program.name] = _Kept(program, self.say, self._restarts)

    def start_again(self, name: str) -> None:
        """Start what was stopped; nothing happens when it runs."""
        if self._kept[name].state == State.STOPPED:
            self.start(self._kept[name].program)

    def states(self) -> dict[str, State]:
        return {name: kept.state for name, kept in list(self._kept.items())}

    def process_ids(self) -> dict[str, int]:
        """The processes that run now, by name."""
        running = {name: kept.process_id() for name, kept in list(self._kept.items())}
        return {name: pid for name, pid in running.items() if pid}

    def freeze(self, name: str) -> None:
        """Let it and its descendants stand still, as if its machine were overloaded."""
        self._kept[name].freeze()

    def resume(self, name: str) -> None:
        self._kept[name].resume()

    def kill(self, name: str) -> None:
        """`kill -9`, for it and its descendants."""
        self._kept[name].kill()

    def stop(self, name: str, patience: float = PATIENCE) -> bool:
        """End one, which does not start again: asked first, killed after `patience` seconds. Was asking enough?"""
        return self._end([name], patience)

    def end(self, patience: float = PATIENCE) -> bool:
        """End all, layer by layer, each with so much patience; says whether asking was enough.

        Whatever ends before its turn, as when a whole machine is shut down, does not start again.
        """
        for kept in self._kept.values():
            kept.stay_down()
        return min([self._end(layer, patience) for layer in reversed(self._layers)], default=True)

    def wait_until(self, what: str, happens: Callable[[], object], patience: float = 60.0) -> None:
        """Return when `happens` returns something true.

        Raises NotReady after `patience` seconds, and at once when a program has ended that is not started again.
        """
        until = time.monotonic() + patience
        while not happens():
            ended = [kept for kept in self._kept.values() if not self._restarts and kept.state == State.DOWN]
            if ended or time.monotonic() > until:
                words = [word for kept in ended or self._kept.values() for word in kept.last_words()]
                raise NotReady("\n".join([f"not {what}; last words:", *words]))
            time.sleep(0.02)

    def _end(self, names: list[str], patience: float) -> bool:
        kept = [self._kept[name] for name in names]
        for each in kept:
            each.ask_to_end()
        until = time.monotonic() + patience
        return min([each.wait(max(0.0, until - time.monotonic()), patience) for each in kept], default=True)


class _Kept:
    """One program, and the thread that keeps it running until it is to end."""

    def __init__(self, program: Program, say: Say, restarts: bool) -> None:
        self.program, self._said = program, deque[str](maxlen=LAST_WORDS)
        self._say, self._restarts = say, restarts
        self._stopping, self._lock = threading.Event(), threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._frozen: Frozen | None = None
        self._begin()
        self._thread = threading.Thread(target=self._keep, name=program.name)
        self._thread.start()

    @property
    def state(self) -> State:
        with self._lock:
            if self._frozen:
                return State.FROZEN
            if self._process:
                return State.RUNNING
            return State.STOPPED if self._stopping.is_set() else State.DOWN

    def process_id(self) -> int | None:
        with self._lock:
            return self._process.pid if self._process else None

    def last_words(self) -> list[str]:
        logged = self.program.log.read_text(errors="replace").splitlines() if self.program.log else []
        return [*(f"{self.program.name} | {line}" for line in logged[-LAST_WORDS:]), *self._said]

    def freeze(self) -> None:
        with self._lock:
            if self._process and not self._frozen:
                self._frozen = Frozen(self._process.pid)

    def resume(self) -> None:
        with self._lock:
            if self._frozen:
                self._frozen.thaw()
                self._frozen = None

    def kill(self) -> None:
        with self._lock:
            if self._process:
                kill(tree(self._process.pid))

    def stay_down(self) -> None:
        """It may run on, and does not start again when it has ended."""
        self._stopping.set()

    def ask_to_end(self) -> None:
        self.stay_down()
        self.resume()
        with self._lock:
            if self._process:
                os.kill(self._process.pid, self.program.ends_by)

    def wait(self, seconds: float, patience: float) -> bool:
        """Kill it when it has not ended by itself in so many seconds; says whether it has."""
        self._thread.join(seconds)
        obeyed = not self._thread.is_alive()
        if not obeyed:
            self._say(self.program.name, f"did not end within {patience:.0f} s and is killed")
            self.kill()
            self._thread.join()
        return obeyed

    def _keep(self) -> None:
        pause = 0.0
        while process := self._process:
            began = time.monotonic()
            listening = threading.Thread(target=self._listen, args=(process,), name=f"{self.program.name} says")
            listening.start()
            waitid(P_PID, process.pid, WEXITED | WNOWAIT)
            kill(session(process.pid))  # whom it left behind: they would hold its output open
            listening.join()
            code = self._reap(process)
            if self._stopping.is_set():
                return
            ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            if not self._restarts:
                self._tell(ended)
                return
            steady = time.monotonic() - began > STEADY
            pause = FIRST_PAUSE if steady else min(max(FIRST_PAUSE, pause * 2), LONGEST_PAUSE)
            self._tell(f"{ended}; it starts again in {pause:g} s")
            self._stopping.wait(pause)
            self._begin()

    def _begin(self) -> None:
        with self._lock:
            if self._stopping.is_set():
                return
            if log := self.program.log:
                with log.open("a") as file:
                    self._process = spawn(self.program, stdout=file, stderr=subprocess.STDOUT)
            else:
                self._process = spawn(self.program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        if process.stdout:
            with process.stdout:
                for line in process.stdout:
                    self._tell(line.rstrip("\n"))

    def _reap(self, process: "subprocess.Popen[str]") -> int:
        """Note its end; until this is done, its process id is nobody else's."""
        with self._lock:
            self._process = None
            if self._frozen:  # it was killed while it stood still
                self._frozen.thaw()
                self._frozen = None
            return process.wait()

    def _tell(self, line: str) -> None:
        self._said.append(f"{self.program.name} | {line}")
        with suppress(BrokenPipeError):  # whoever was to read it has gone
            self._say(self.program.name, line)
