"""What may be broken of a stack: each of its processes, those of RabbitMQ and PostgreSQL among them."""

import os
import re
import signal
import threading
from collections.abc import Callable, Collection

from order_service.cli.stack import Stack, State
from order_service.cli.system.breakable import AT_ONCE, KILLED
from order_service.web.console.breaking import Part

RUNNING, FROZEN, STOPPED = "running", "frozen", "stopped"
BRIEFLY = 10.0  # seconds for which what the console itself needs stands still; nobody could heal it from there
SOON = 0.5  # seconds until that, so that the visitor still gets an answer
NAMES = {State.RUNNING: RUNNING, State.FROZEN: FROZEN, State.STOPPED: STOPPED, State.DOWN: "starting again"}


class Processes:
    """The processes of a stack by name: killed, frozen, resumed, stopped and started."""

    def __init__(self, stack: Stack, hidden: Collection[str], needed: Collection[str] = ()) -> None:
        """Not those that are `hidden`. What the console needs is frozen or stopped for BRIEFLY only."""
        self._stack, self._hidden, self._needed = stack, hidden, needed
        self._going = threading.Lock()
        self._timers: set[threading.Timer] = set()
        self._closed = False

    def parts(self) -> list[Part]:
        states = {name: state for name, state in self._stack.states().items() if name not in self._hidden}
        return [
            Part(name=name, state=NAMES[state], choices=self._choices(name), kind=kind_of(name))
            for name, state in states.items()
        ]

    def set(self, part: str, choice: str) -> None:
        if part not in self._needed:
            self._do(part, choice)
        elif choice != RUNNING:
            self._later(SOON, lambda: self._do_briefly(part, choice.removesuffix(" for 10 s")))
        else:
            self._do(part, choice)

    def failures(self) -> list[str]:
        return []

    def close(self) -> None:
        """What was to be done later is not done any more."""
        with self._going:
            self._closed = True
            for each in self._timers:
                each.cancel()

    def _choices(self, name: str) -> tuple[str, ...]:
        if name in self._needed:
            return (RUNNING, KILLED, f"{FROZEN} for {BRIEFLY:.0f} s", f"{STOPPED} for {BRIEFLY:.0f} s")
        return (RUNNING, KILLED, FROZEN, STOPPED, *((AT_ONCE,) if name == "postgresql" else ()))

    def _do_briefly(self, name: str, choice: str) -> None:
        self._do(name, choice)
        if choice != KILLED:
            self._later(BRIEFLY, lambda: self._do(name, RUNNING))

    def _do(self, name: str, choice: str) -> None:
        acts: dict[str, Callable[[], object]] = {
            RUNNING: lambda: self._heal(name),
            KILLED: lambda: self._stack.kill(name),
            FROZEN: lambda: self._stack.freeze(name),
            STOPPED: lambda: self._stack.stop(name),
            AT_ONCE: lambda: self._tell(name, signal.SIGQUIT),  # PostgreSQL ends, and writes nothing any more
        }
        acts[choice]()

    def _heal(self, name: str) -> None:
        self._stack.resume(name)
        self._stack.start_again(name)

    def _tell(self, name: str, number: signal.Signals) -> None:
        if process := self._stack.process_ids().get(name):
            os.kill(process, number)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        def run() -> None:
            with self._going:
                if self._closed:
                    return
                self._timers.discard(timer)
            act()

        timer = threading.Timer(seconds, run)
        timer.daemon = True
        with self._going:
            self._timers.add(timer)
        timer.start()


def kind_of(process: str) -> str:
    """What a process is, whosever it is: `worker`, `web process`, `rabbitmq`."""
    found = re.fullmatch(r"[a-z]+-(worker|web)(-\d+)?", process)
    return {"worker": "worker", "web": "web process"}[found[1]] if found else process
