"""The page on which things are broken on purpose, as whoever holds the system has it: by hand or by a script."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from order_service.cli.client.api import Refused, Unreachable
from order_service.cli.system.breakable import MOMENTARY, Breakable, BrokerFaults, Outside, Threads, parts_of
from order_service.cli.system.embedded import OPERATOR, System
from order_service.cli.system.traffic import FATES, Traffic
from order_service.web.console.activity import Mark
from order_service.web.console.breaking import Part, Refusal, State
from order_service.web.console.pages import Room

TROUBLE = 600.0  # seconds of trouble by the script
KEPT = 100  # marks
IN_ONE_PROCESS = (
    "All four services run in one process here. A frozen worker holds on to what it has; a stopped one finishes its "
    "batch and gives the rest back. No thread can be killed halfway: for kill -9 kill this whole program and start it "
    "again, or run fulfillment up --console-may-break."
)


class Playground:
    """Everything that the page of trouble can do. For any thread."""

    def __init__(
        self, breakables: Sequence[Breakable], traffic: Traffic, now: Callable[[], datetime], seed: int, words: str
    ) -> None:
        """`words` tell the visitor what it is that is broken here."""
        self._breakables, self.traffic, self._now, self._seed = breakables, traffic, now, seed
        self._words = words
        self._calm = threading.Event()
        self._calm.set()
        self._script: threading.Thread | None = None
        self._script_ends = 0.0
        self._marks: list[Mark] = []

    def fates(self) -> list[tuple[str, str]]:
        return [(each.name, each.title) for each in FATES]

    def place(self, fate: str) -> str:
        """Place an order of this fate; returns its id. Raises Refusal."""
        try:
            return self.traffic.place(fate)
        except (Refused, Unreachable, KeyError) as error:
            raise Refusal(f"The order was not placed: {error}") from error

    def set(self, part: str, choice: str) -> None:
        """Have a part be so from now on. Raises Refusal."""
        for breakable in self._breakables:
            for each in breakable.parts():
                if each.name == part and choice in each.choices:
                    breakable.set(part, choice)
                    self._mark(f"{part}: {choice}")
                    return
        raise Refusal(f"There is no {part} that could be {choice}.")

    def mend(self) -> None:
        """Everything is well again, and no script goes on."""
        self._calm.set()
        if self._script and self._script is not threading.current_thread():
            self._script.join()
        for part in parts_of(self._breakables):
            if part.state != part.choices[0]:
                self.set(part.name, part.choices[0])

    def make_trouble(self) -> None:
        """Break and mend one thing after the other for ten minutes, the same things for the same seed."""
        if self._calm.is_set():
            self._calm.clear()
            self._script_ends = time.monotonic() + TROUBLE
            self._script = threading.Thread(target=self._make_trouble, name="trouble", daemon=True)
            self._script.start()

    def state(self) -> State:
        """How everything is."""
        marks = self._marks[-KEPT:]
        return State(
            parts=parts_of(self._breakables),
            rate=self.traffic.rate,
            seconds_left=self.traffic.seconds_left,
            trouble_left=0 if self._calm.is_set() else max(0, round(self._script_ends - time.monotonic())),
            seed=self._seed,
            since=marks[-1].at if marks else None,
            marks=marks,
            failures=[failure for each in self._breakables for failure in each.failures()],
            words=self._words,
        )

    def set_rate(self, rate: int, minutes: int) -> None:
        self.traffic.set(rate, minutes)

    def rest(self) -> None:
        """Break and mend nothing any more, and place no orders."""
        self._calm.set()
        if self._script:
            self._script.join()
        self.traffic.close()

    def close(self) -> None:
        """Leave everything well behind."""
        self.mend()
        self.rest()

    def _mark(self, text: str) -> None:
        self._marks.append(Mark(at=self._now(), text=text))

    def _make_trouble(self) -> None:
        for part, choice, pause in trouble(self._seed, parts_of(self._breakables)):
            if self._calm.is_set():
                return
            if time.monotonic() > self._script_ends:
                break
            try:
                self.set(part, choice)
            except Refusal as refusal:  # what it needs is itself broken just now
                self._mark(f"{part} could not be {choice}: {refusal}")
            self._calm.wait(pause)
        self._calm.set()
        self.mend()


def trouble(seed: int, parts: Sequence[Part]) -> Iterator[tuple[str, str, float]]:
    """Part, choice and the seconds until the next, for ever: at most two things are broken at a time."""
    chance = random.Random(seed)  # noqa: S311 - so that the same can be had again
    broken: list[Part] = []
    while True:
        part = chance.choice([each for each in parts if each.name not in [one.name for one in broken]])
        choice = chance.choice(part.choices[1:])
        yield part.name, choice, chance.uniform(4, 10)
        if choice not in MOMENTARY:
            broken.append(part)
        if len(broken) == 2:
            healed = broken.pop(0)
            yield healed.name, healed.choices[0], chance.uniform(2, 8)


def play_in(system: System, faults: BrokerFaults, *, rate: int, minutes: float, seed: int) -> Playground:
    """Let the console of a system that is one process break it, and orders come. Close it before the system ends."""
    room: Room = system.apps["order"].extensions["console"]
    outside = Outside(system.urls, OPERATOR)
    outside.mend_all()
    threads = Threads(system.workers, faults, system.failures)
    traffic = Traffic(system.urls, rate=rate, minutes=minutes)
    ground = Playground([outside, threads], traffic, room.now, seed, IN_ONE_PROCESS)
    room.attached.playground = ground
    traffic.start()
    return ground
