"""Lets the script happen: each fault at its time, for its time, and what came of it."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from order_service.cli.system.breakable import Breakable
from order_service.cli.system.prove.script import Fault
from order_service.web.console.breaking import Refusal

INSISTS = 90.0  # seconds for what cannot be done, or undone, because of other trouble
AGAIN = 0.3  # seconds
HASTE = 0.6  # of the planned pause between two faults, when the script is late
REST = 3.0  # seconds between the healing of one fault and the beginning of one that is to be alone


@dataclass(frozen=True, kw_only=True)
class Suffered:
    """A fault as it happened, in seconds since the first order; `undone` says why it did not."""

    fault: Fault
    began: float
    healed: float
    undone: str = ""


class Trouble:
    """A thread for each fault from its time on. Faults of one party wait for each other."""

    def __init__(
        self,
        script: Sequence[Fault],
        breakables: Sequence[Breakable],
        now: Callable[[], float],
        tell: Callable[[str], None],
    ) -> None:
        self._script, self._now, self._tell = script, now, tell
        self._breakables = {part.name: each for each in breakables for part in each.parts()}
        self._wells = {part.name: part.choices[0] for each in breakables for part in each.parts()}
        self._parties: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._ended = threading.Event()
        self._suffering: list[threading.Thread] = []
        self._director = threading.Thread(target=self._direct, name="director", daemon=True)
        self.suffered: list[Suffered] = []
        self.current: dict[int, Fault] = {}

    def start(self) -> None:
        self._director.start()

    @property
    def is_over(self) -> bool:
        return not self._director.is_alive() and not any(each.is_alive() for each in self._suffering)

    def end(self) -> None:
        """No new fault begins; those that are in force are healed. Returns when they are."""
        self._ended.set()
        for each in (self._director, *self._suffering):
            if each.ident:
                each.join()

    def _direct(self) -> None:
        planned = began = 0.0
        for fault in self._script:
            begins = max(fault.at, began + HASTE * (fault.at - planned))
            if self._ended.wait(max(0.0, begins - self._now())) or not self._may_begin(fault):
                return
            planned, began = fault.at, self._now()
            thread = threading.Thread(target=self._suffer, args=(fault,), name=f"fault {fault.number}", daemon=True)
            self._suffering.append(thread)
            thread.start()

    def _may_begin(self, fault: Fault) -> bool:
        """Wait until it may; False when it is not to begin any more."""
        while fault.alone and any(each.is_alive() for each in self._suffering) and not self._ended.wait(0.1):
            pass
        return not (fault.alone and self._ended.wait(REST)) and not self._ended.is_set()

    def _suffer(self, fault: Fault) -> None:
        with self._parties[fault.party]:
            if self._ended.is_set():
                return  # its party was busy until now
            self.current[fault.number] = fault
            began, undone = self._now(), self._set(fault.part, fault.choice)
            if fault.seconds:
                self._ended.wait(fault.seconds)
                undone += self._set(fault.part, self._wells[fault.part])
            del self.current[fault.number]
            done = Suffered(fault=fault, began=began, healed=self._now(), undone=undone)
            self.suffered.append(done)
            self._tell(f"fault {fault.number}: {fault.part}: {fault.choice}{f' ({undone})' if undone else ''}")

    def _set(self, part: str, choice: str) -> str:
        """Do it as soon as it can be done; returns why it could not, if so."""
        until = self._now() + INSISTS
        while True:
            try:
                self._breakables[part].set(part, choice)
            except Refusal as refusal:
                if self._now() > until:
                    return str(refusal)
                time.sleep(AGAIN)
            else:
                return ""
