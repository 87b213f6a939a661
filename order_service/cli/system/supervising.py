"""Keeps processes alive: starts them, passes on what they print, starts again what dies, and ends them together."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0  # seconds before a process that died starts again
STEADY = 30.0  # seconds after which a death is a new story


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run, under which name."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]


class Supervisor:
    """Runs programs until told to stop. `say` is given each line that they print, and each one about them."""

    def __init__(self, programs: Sequence[Program], say: Callable[[str, str], None]) -> None:
        self._say = say
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._threads = [threading.Thread(target=self._keep, args=(each,), name=each.name) for each in programs]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def process_ids(self) -> dict[str, int]:
        """The processes that run now, by name."""
        with self._lock:
            return {name: process.pid for name, process in self._running.items()}

    def stop(self, patience: float) -> bool:
        """End all: asked first, killed after `patience` seconds; says whether asking was enough."""
        self._stopping.set()
        with self._lock:
            for process in self._running.values():
                process.send_signal(signal.SIGTERM)
        until = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        with self._lock:
            stubborn = dict(self._running)
            for name, process in stubborn.items():
                self._say(name, f"did not end within {patience:.0f} s and is killed")
                os.killpg(process.pid, signal.SIGKILL)
        for thread in self._threads:
            thread.join()
        return not stubborn

    def _keep(self, program: Program) -> None:
        pause = 0.0
        while (process := self._begin(program)) is not None:
            began = time.monotonic()
            assert process.stdout
            for line in process.stdout:
                self._say(program.name, line.rstrip("\n"))
            code = process.wait()
            with self._lock:
                del self._running[program.name]
            if self._stopping.is_set():
                return
            pause = (
                FIRST_PAUSE if time.monotonic() - began > STEADY else min(max(FIRST_PAUSE, pause * 2), LONGEST_PAUSE)
            )
            ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            self._say(program.name, f"{ended}; it starts again in {pause:g} s")
            self._stopping.wait(pause)

    def _begin(self, program: Program) -> "subprocess.Popen[str] | None":
        with self._lock:
            if self._stopping.is_set():
                return None
            process = subprocess.Popen(  # noqa: S603 - it is for running programs
                program.command,
                env=program.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="backslashreplace",
                start_new_session=True,  # a Ctrl-C is for the supervisor, who ends them in good order
            )
            self._running[program.name] = process
            return process
