"""What may be broken while `fulfillment play` runs: card network, carriers, workers, broker; by hand or by a script."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from order_service.cli.client.api import Api, Refused, Unreachable
from order_service.cli.system.embedded import OPERATOR, System
from order_service.cli.system.scenarios import LATENCY_MS
from order_service.cli.system.traffic import FATES, Traffic
from order_service.web.console.activity import Activity, Mark
from order_service.web.console.breaking import Part, Refusal, State
from shared.messaging.envelope import Envelope

WELL = "well"
LOSSY = "losing, repeating, mixing up"
CONDUCTS: Mapping[str, Mapping[str, object]] = {
    WELL: {},
    "slow": {"latency_ms": 1_500},
    "losing answers": {"error_rate": 0.5},
    "away": {"outage": True},
}
PARTIES = {  # name on the page: service and party of its simulation
    "card network": ("payment", "card_network"),
    "northwind-parcels": ("shipping", "northwind-parcels"),
    "globex-freight": ("shipping", "globex-freight"),
}
BROKER = "broker"
CUT = "cut all connections"
BROKER_CHOICES = (WELL, LOSSY, "away", CUT)
WORKER_CHOICES = ("running", "frozen", "stopped")
TROUBLE = 600.0  # seconds of trouble by the script


class BrokerFaults:
    """What the broker does to messages now."""

    def __init__(self) -> None:
        self.conduct = WELL
        self.cut_until = 0.0  # monotonic
        self._chance = random.Random()  # noqa: S311 - for trouble, not for secrets

    def arrivals(self, envelope: Envelope, queue: str) -> Sequence[float] | None:
        if self.conduct != LOSSY:
            return (0.0,)
        drawn = self._chance.random()
        if drawn < 0.15:
            return ()
        return (0.0, self._chance.uniform(0, 2)) if drawn < 0.35 else (self._chance.uniform(0, 0.5),)

    def next(self, queue: str, waiting: int) -> int:
        return self._chance.randrange(waiting) if self.conduct == LOSSY else 0

    def cuts(self, service: str) -> bool:
        return self.conduct == "away" or time.monotonic() < self.cut_until


class Playground:
    """Everything that the page of trouble can do. For any thread."""

    def __init__(
        self,
        system: System,
        faults: BrokerFaults,
        traffic: Traffic,
        activity: Activity,
        now: Callable[[], datetime],
        seed: int,
    ) -> None:
        self._system, self._faults, self.traffic = system, faults, traffic
        self._activity, self._now, self._seed = activity, now, seed
        self._conduct = dict.fromkeys(PARTIES, WELL)
        self._calm = threading.Event()
        self._calm.set()
        self._script: threading.Thread | None = None
        self._script_ends = 0.0
        self._last: datetime | None = None

    def fates(self) -> Sequence[tuple[str, str]]:
        return [(each.name, each.title) for each in FATES]

    def place(self, fate: str) -> str:
        """Place an order of this fate; returns its id. Raises Refusal."""
        try:
            return self.traffic.place(fate)
        except (Refused, Unreachable, KeyError) as error:
            raise Refusal(f"The order was not placed: {error}") from error

    def parts(self) -> list[Part]:
        """Everything that can be broken, how it is, and what can be done to it."""
        outside = [Part(name=name, state=self._conduct[name], choices=tuple(CONDUCTS)) for name in PARTIES]
        workers = [
            Part(name=_worker(name), state=worker.state, choices=WORKER_CHOICES)
            for name, worker in self._system.workers.items()
        ]
        return [*outside, Part(name=BROKER, state=self._faults.conduct, choices=BROKER_CHOICES), *workers]

    def set(self, part: str, choice: str) -> None:
        """Have a part be so from now on. Raises Refusal."""
        known = {each.name: each for each in self.parts()}
        if part not in known or choice not in known[part].choices:
            raise Refusal(f"There is no {part} that could be {choice}.")
        if part in PARTIES:
            self._set_conduct(part, choice)
        elif part == BROKER:
            self._set_broker(choice)
        else:
            self._set_worker(part.removesuffix(" worker"), choice)
        self._mark(f"{part}: {choice}")

    def mend(self) -> None:
        """Everything is well again, and no script goes on."""
        self._calm.set()
        if self._script and self._script is not threading.current_thread():
            self._script.join()
        for part in self.parts():
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
        """For the page: the stream, the script, and what happened since the last act."""
        return State(
            rate=self.traffic.rate,
            seconds_left=self.traffic.seconds_left,
            trouble_left=0 if self._calm.is_set() else max(0, round(self._script_ends - time.monotonic())),
            seed=self._seed,
            since=self._last,
            happened=self._activity.since(self._last) if self._last else {},
            marks=list(self._activity.marks)[-12:],
            failures=list(self._system.failures),
        )

    def set_rate(self, rate: int, minutes: int) -> None:
        self.traffic.set(rate, minutes)

    def mend_outside(self) -> None:
        """Card network and carriers answer well, whatever was left behind."""
        for name in PARTIES:
            self._set_conduct(name, WELL)

    def close(self) -> None:
        self.mend()
        self.traffic.close()

    def _set_conduct(self, part: str, choice: str) -> None:
        service, party = PARTIES[part]
        with Api(self._system.urls[service], OPERATOR) as api:
            try:
                api.put(f"/simulation?party={party}", {"latency_ms": LATENCY_MS, **CONDUCTS[choice]})
            except (Refused, Unreachable) as error:
                raise Refusal(f"{part}: {error}") from error
        self._conduct[part] = choice

    def _set_broker(self, choice: str) -> None:
        if choice == CUT:
            self._faults.cut_until = time.monotonic() + 0.5
        else:
            self._faults.conduct = choice

    def _set_worker(self, name: str, choice: str) -> None:
        worker = self._system.workers[name]
        if choice == "stopped":
            worker.end()
            return
        if choice == "frozen":
            worker.freeze()
        else:
            worker.thaw()
        worker.start()

    def _mark(self, text: str) -> None:
        self._last = self._now()
        self._activity.marks.append(Mark(at=self._last, text=text))

    def _make_trouble(self) -> None:
        for part, choice, pause in trouble(self._seed, self.parts()):
            if self._calm.is_set() or time.monotonic() > self._script_ends:
                break
            self.set(part, choice)
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
        if choice != CUT:
            broken.append(part)
        if len(broken) == 2:
            healed = broken.pop(0)
            yield healed.name, healed.choices[0], chance.uniform(2, 8)


def _worker(name: str) -> str:
    return f"{name} worker"
