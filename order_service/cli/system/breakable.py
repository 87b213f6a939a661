"""What may be broken on purpose: everywhere the outside, and in one process its broker and its worker threads."""

import random
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from order_service.cli.client.api import Api, Refused, Unreachable
from order_service.cli.system.embedded import WorkerThread
from order_service.cli.system.scenarios import LATENCY_MS
from order_service.web.console.breaking import Part, Refusal
from shared.messaging.envelope import Envelope

WELL = "well"
LOSSY = "losing, repeating, mixing up"
CUT = "cut all connections"
CONDUCTS: Mapping[str, Mapping[str, object]] = {
    WELL: {},
    "slow": {"latency_ms": 1_500},
    "losing answers": {"error_rate": 0.5},
    "away": {"outage": True},
}
PARTIES = {  # name on the page: service and party of its simulation, and what kind it is of
    "card network": ("payment", "card_network", "card network"),
    "northwind-parcels": ("shipping", "northwind-parcels", "carrier"),
    "globex-freight": ("shipping", "globex-freight", "carrier"),
}
BROKER = "broker"
BROKER_CHOICES = (WELL, LOSSY, "away", CUT)
WORKER_CHOICES = ("running", "frozen", "stopped")
KILLED, AT_ONCE = "kill -9", "stopped at once"
ENDED = "all connections ended"
RESET = "reset"
AGAIN, ANEW = "said again", "said again under new ids"
IN_TURN = "restarted one after another"
MOMENTARY = (CUT, KILLED, AT_ONCE, ENDED, RESET, AGAIN, ANEW, IN_TURN)  # it is done and over: nothing stays so


class Breakable(Protocol):
    """Some parts, and what can be done to them. For any thread."""

    def parts(self) -> list[Part]:
        """Each as it is now; its first choice is to be well."""

    def set(self, part: str, choice: str) -> None:
        """Have one of them be so from now on. Raises Refusal."""

    def failures(self) -> list[str]:
        """What has gone wrong that nobody wanted."""


def parts_of(breakables: Sequence[Breakable]) -> list[Part]:
    return [part for each in breakables for part in each.parts()]


class Outside:
    """Card network and carriers, by the simulations of payment and shipping."""

    def __init__(self, urls: Mapping[str, str], token: str) -> None:
        self._urls, self._token = urls, token
        self._conduct = dict.fromkeys(PARTIES, WELL)

    def parts(self) -> list[Part]:
        return [
            Part(name=name, state=self._conduct[name], choices=tuple(CONDUCTS), kind=kind)
            for name, (_, _, kind) in PARTIES.items()
        ]

    def set(self, part: str, choice: str) -> None:
        service, party, _ = PARTIES[part]
        with Api(self._urls[service], self._token) as api:
            try:
                api.put(f"/simulation?party={party}", {"latency_ms": LATENCY_MS, **CONDUCTS[choice]})
            except (Refused, Unreachable) as error:
                raise Refusal(f"{part}: {error}") from error
        self._conduct[part] = choice

    def mend_all(self) -> None:
        """They answer well, whatever was left behind."""
        for name in PARTIES:
            self.set(name, WELL)

    def failures(self) -> list[str]:
        return []


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


class Threads:
    """The broker and the workers of a system that is one process."""

    def __init__(self, workers: Mapping[str, WorkerThread], faults: BrokerFaults, failures: list[str]) -> None:
        self._workers = {f"{name} worker": worker for name, worker in workers.items()}
        self._faults, self._failures = faults, failures

    def parts(self) -> list[Part]:
        workers = [
            Part(name=name, state=each.state, choices=WORKER_CHOICES, kind="worker")
            for name, each in self._workers.items()
        ]
        return [Part(name=BROKER, state=self._faults.conduct, choices=BROKER_CHOICES, kind=BROKER), *workers]

    def set(self, part: str, choice: str) -> None:
        if part != BROKER:
            self._set_worker(self._workers[part], choice)
        elif choice == CUT:
            self._faults.cut_until = time.monotonic() + 0.5
        else:
            self._faults.conduct = choice

    def failures(self) -> list[str]:
        return list(self._failures)

    def _set_worker(self, worker: WorkerThread, choice: str) -> None:
        if choice == "stopped":
            worker.end()
            return
        if choice == "frozen":
            worker.freeze()
        else:
            worker.thaw()
        worker.start()
