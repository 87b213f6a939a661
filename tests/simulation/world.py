"""One run of the whole system: the real services on one thread, in virtual time, interleaved as the seed has it."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from itertools import count
from random import Random
from typing import Any

from order_service.terms import terms
from shared.config import Settings, load
from shared.ids import uuid7
from shared.messaging.brokers.embedded import Embedded
from shared.messaging.envelope import Envelope
from shared.messaging.handling import Handling
from shared.messaging.pace import Pace
from shared.messaging.topology import dead_letters_of, inbox_of, topology
from shared.service import services
from tests.simulation.checks import Checks, Violation
from tests.simulation.liars import Liars
from tests.simulation.mutants import SOUND, Mutant
from tests.simulation.outside import PARTIES, Outside
from tests.simulation.people import People
from tests.simulation.ports import Crash, StruckBroker, VirtualClock, database
from tests.simulation.process import Process
from tests.simulation.reconciling import Reconciliation
from tests.simulation.rest import Rest
from tests.simulation.schedule import Schedule
from tests.simulation.silences import Silences
from tests.simulation.strangers import Strangers
from tests.simulation.weather import Faults, Point, Strike, Weather, draw

WORKERS = 2  # of each service
MOST_STEPS = 6_000
DEEPEST = 2  # how many processes are stopped at once, besides the one that goes on
PACE = Pace(
    timers=1.0,
    relay=5.0,
    replay=60.0,
    prune=86_400.0,
    outbox_kept=timedelta(days=365),
    inbox_kept=timedelta(days=365),
)


@cache
def settings(service: str, impatient: bool) -> Settings:
    """What a service is told: nothing but, perhaps, to ask less often before it despairs."""
    attempts = "capture=2,issue=1,dispatch=1" if impatient else ""
    return load(service=service, environ={"STEP_ATTEMPTS": attempts})


@cache
def real_handling(service: str, impatient: bool) -> Handling:
    return services()[service].handling(settings(service, impatient), database(service))


class World:
    """Everything there is in one run. `run` returns when nothing is left to happen, or raises Violation."""

    def __init__(self, seed: int, mutant: Mutant = SOUND, weather: Weather | None = None) -> None:
        self.seed, self.mutant = seed, mutant
        self.chance = Random(seed)
        self.weather = weather or draw(self.chance)
        self.seconds = 0.0
        self.schedule = Schedule()
        self.faults = Faults(self, self.weather, Random(self.chance.getrandbits(64)))
        self.pace = replace(PACE, batch=self.chance.choice((1, 3, 200)))
        self.acting: list[Any] = []  # the process that goes on, and beneath it those that are stopped
        self.steps = 0
        self.broker_away_until = 0.0
        self.calendar: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._known_chores: dict[str, tuple[int, dict[int, float | None]]] = {}

        self.services = services()
        impatient = not self.weather.prompt and self.chance.random() < 0.5
        self.settings = {name: settings(name, impatient) for name in self.services}
        self.databases = {name: database(name) for name in self.services}
        skewed = self.weather.name != "calm" and self.chance.random() < 0.3
        self.clocks = {
            name: VirtualClock(
                self, self.chance.choice((-3_600.0, 0.0, 3_600.0)) if skewed and name != "order" else 0.0
            )
            for name in self.services
        }
        for each in self.databases.values():
            each.reset(self)
        handled = {name: list(service.handlers) for name, service in self.services.items()}
        lasting = self.chance.random() < 0.7
        self.broker = Embedded(topology(handled), self.faults, clock=lambda: self.seconds, lasting=lasting)
        self.port = StruckBroker(self, self.broker)
        self.outside, self.liars = Outside(self), Liars(self)
        self.processes = [Process(self, name, number) for name in self.services for number in range(WORKERS)]
        shop = terms(self.settings["order"])
        self.people = People(self, replace(shop, flow=mutant.flow(shop.flow)))
        self.strangers = Strangers(self)
        self.checks = Checks(self)
        Silences(self)
        self.reconciliation = Reconciliation(self)

    def run(self) -> "World":
        """Until rest; every step is checked, and the rest is."""
        self.schedule.note(0.0, "world", f"seed {self.seed}, {self.weather.words()}")
        while self.step():
            if self.steps > MOST_STEPS:
                raise Violation(f"no rest after {MOST_STEPS} steps")
        Rest(self).check()
        return self

    # Time and turns

    def step(self, until: float = float("inf")) -> bool:
        """One turn of one process that can go on, or else a move of time to what is next, at most to `until`.

        False when nothing can happen any more, or nothing before `until`.
        """
        self.steps += 1
        ready: list[Any] = [each for each in self.processes if each.is_ready()]
        if self.calendar and self.calendar[0][0] <= self.seconds:
            ready.append(None)
        if not ready:
            return self._pass_time(until)
        process = self.chance.choice(ready)
        if process is None:
            heapq.heappop(self.calendar)[2]()
        else:
            process.go_on()
        self.checks.at_once()
        return True

    def at(self, seconds: float, happen: Callable[[], None]) -> None:
        """Let this happen then."""
        heapq.heappush(self.calendar, (seconds, next(self._numbers), happen))

    def _pass_time(self, until: float) -> bool:
        moment = min(filter(None, self._what_is_next()), default=None)
        if moment is None or moment > until:
            self.seconds = max(self.seconds, until) if until < float("inf") else self.seconds
            return False
        self.seconds = max(self.seconds, moment)
        return True

    def _what_is_next(self) -> list[float | None]:
        moments = [self.broker.next_event_at(), self.calendar[0][0] if self.calendar else None]
        for name in self.services:
            mine = [each for each in self.processes if each.service == name and each not in self.acting]
            moments += [each.sleeps_until for each in mine if each.sleeps_until > self.seconds]
            awake = [each.worker for each in mine if each.worker and each.sleeps_until <= self.seconds]
            moments += [worker._mark_at for worker in awake if worker.confirmed]
            for chore, at in self._chores(name).items():
                if awake and at is not None:
                    moments.append(
                        max(at, min(worker.chores[chore].due_at for worker in awake), self.seconds + 0.000_001)
                    )
        return moments

    def _chores(self, service: str) -> dict[int, float | None]:
        """When the relay (0), the timers (1) and the replay (2) of a service will have something to do."""
        opened, clock = self.databases[service], self.clocks[service]
        changes = opened.raw.total_changes
        if self._known_chores.get(service, (-1, {}))[0] != changes:
            queries = {0: "SELECT MIN(due_at) FROM outbox WHERE published_at IS NULL"}
            if service == "order":
                queries[1] = "SELECT MIN(wake_at) FROM sagas WHERE wake_at < '9999'"
            if self.weather.poison:
                queries[2] = "SELECT MIN(received_at) FROM dead_letters WHERE state = 'replaying'"
            found = {chore: opened.raw.execute(query).fetchone()[0] for chore, query in queries.items()}
            known = {chore: clock.seconds(at) if at else None for chore, at in found.items()}
            self._known_chores[service] = changes, known
        return self._known_chores[service][1]

    def has_chores(self, service: str) -> bool:
        """Whether a service has a chore to do now."""
        return any(at is not None and at <= self.seconds for at in self._chores(service).values())

    # What befalls processes

    def strike(self, point: Point) -> Strike | None:
        """Raises Crash, lets the others go on for a while, or returns what the port has to do."""
        if not self.acting:
            return None
        process, strike = self.acting[-1], self.faults.strike(point)
        if strike is None or (strike is Strike.PAUSE and len(self.acting) > DEEPEST):
            return None
        self.note(process.name, f"{strike} {point}")
        match strike:
            case Strike.CRASH:
                raise Crash
            case Strike.PAUSE:
                self.others_go_on(self.chance.choice((0.0, 1.0, min(60.0, max(5.0, self.weather.longest_silence)))))
        return strike

    def others_go_on(self, seconds: float) -> None:
        """For so long, or for some steps, the acting process stands still and the others do not."""
        until = self.seconds + seconds
        if len(self.acting) <= DEEPEST:
            for _ in range(self.chance.randint(1, 12)):
                if not self.step(until):
                    break
        self.seconds = max(self.seconds, until)

    # Words

    def note(self, who: str, what: str) -> None:
        self.schedule.note(self.seconds, who, what)

    def tell(self, verb: str, envelopes: Sequence[Envelope]) -> None:
        what = ", ".join(f"{each.type} of {self.people.name(each.correlation_id)}" for each in envelopes)
        self.note(self.acting[-1].name if self.acting else "world", f"{verb} {what}")

    def remark(self, envelope: Envelope, what: str) -> None:
        self.note("network", f"{envelope.type} of {self.people.name(envelope.correlation_id)} {what}")

    def rows(self, service: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What an SQL query finds in a service's database."""
        return self.databases[service].raw.execute(query, parameters).fetchall()

    def ends(self) -> list[str]:
        """How each order ended."""
        return [status for (status,) in self.rows("order", "SELECT status FROM orders")]

    # What processes are made of

    def new_id(self, at: Any) -> str:
        return uuid7(at, self.chance.getrandbits)

    def handling(self, service: str) -> Handling:
        """How a service works here: its own way, with the outside, the liars and the mutant of this world."""
        handling = real_handling(service, bool(self.settings[service].step_attempts))
        if service in PARTIES:
            handling = replace(handling, ask=self.outside.asked_by(service))
        if service != "order":
            handling = self.liars.handling(handling)
        return self.mutant.handling(service, handling)

    def has_messages(self, service: str) -> bool:
        """Whether a worker of this service would be given something."""
        queues = (self.broker._queues[inbox_of(service)], self.broker._queues[dead_letters_of(service)])
        return any(queue and queue[0].arrives_at <= self.seconds for queue in queues)
