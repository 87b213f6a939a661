"""The soak itself: seven rounds of idling and of light load, and a sample of every process now and then."""

import json
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from order_service.cli.system.audit import audit_at_rest
from shared.database import Database
from shared.service import services
from tests.benchmarks.servers import Servers
from tests.benchmarks.soak.sampling import Sampler
from tests.benchmarks.soak.traffic import Lookers, place, prime
from tests.benchmarks.system import System, Watcher, running, scalar

ROUNDS = 7  # the first warms up
ORDINARY = {"checkpoint_timeout": "5min", "max_wal_size": "1GB"}  # as PostgreSQL has it: checkpoints are part of a day
SMALL_LOG = "-ra wal_max_size_bytes 16777216"  # RabbitMQ keeps in memory what it wrote since it began the file
CONTEXTS = 10  # samples from one look into PostgreSQL's memory contexts to the next
ENDED = "SELECT count(*) FROM orders WHERE status IN ('fulfilled', 'cancelled')"


def soak(seconds: float, pause: float, rate: float, primed: int, file: Path) -> list[dict[str, Any]]:
    """All samples; each is also appended to `file` as it is taken, one line of JSON each. Raises Stuck.

    Before the first round, each API has answered `primed` requests.
    """
    with ExitStack() as stack:
        servers = stack.enter_context(Servers(broker_options=SMALL_LOG, **ORDINARY))
        system = stack.enter_context(running(servers, web=list(services())))
        watcher = stack.enter_context(system.connect())
        prime(system, primed)
        lookers = stack.enter_context(Lookers(system))
        lines = stack.enter_context(file.open("w"))
        return Soak(system, watcher, lookers, pause, lines).run(seconds, rate)


class Soak:
    def __init__(self, system: System, watcher: Watcher, lookers: Lookers, pause: float, lines: Any) -> None:
        self._system, self._watcher, self._lookers = system, watcher, lookers
        self._pause, self._lines = pause, lines
        self._sampler = Sampler(system)
        self._began = time.monotonic()
        self._samples: list[dict[str, Any]] = []

    def run(self, seconds: float, rate: float) -> list[dict[str, Any]]:
        phase = seconds / ROUNDS / 2
        for number in range(ROUNDS):
            idle_ends = self._began + (2 * number + 1) * phase
            self._watch(number, "idle", idle_ends)
            with ExitStack() as stack:
                self._lookers.looking.set()
                stack.callback(self._lookers.looking.clear)
                placer = place(self._system, stack, max(1, int(rate * phase)), rate)
                self._watch(number, "load", idle_ends + phase)
                if placer.wait(60):
                    self._lookers.failures.append(f"round {number}: the orders could not be placed")
            self._system.wait_for_the_end(patience=120.0)
            self._sample(number, "ended", audit=self._audit())
        return self._samples

    def _watch(self, number: int, phase: str, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            self._sample(number, phase)
            time.sleep(min(left, self._pause))

    def _sample(self, number: int, phase: str, **more: Any) -> None:
        found = self._sampler.processes(self._watcher)
        sample = {
            "at": round(time.monotonic() - self._began, 1),
            "round": number,
            "phase": phase,
            "failures": list(self._lookers.failures),
            "ended": scalar(self._watcher, ENDED),
            "processes": {name: [round(each.mib, 3), each.fds] for name, each in found.items()},
        } | more
        if len(self._samples) % CONTEXTS == 0:
            backends = self._sampler.backends(self._watcher)
            sample["backends"] = {name: asdict(each) for name, each in backends.items()}
            memory = sum(each.mib for each in found.values())
            print(f"{sample['at'] / 60:.1f} min, {phase}: {sample['ended']} orders ended, {len(found)} processes, "
                  f"{memory:.0f} MiB, {sum(each.fds for each in found.values())} descriptors", flush=True)  # fmt: skip
        self._samples.append(sample)
        print(json.dumps(sample), file=self._lines, flush=True)

    def _audit(self) -> list[str]:
        """Every violation that an audit finds."""
        with ExitStack() as stack:
            databases = {name: stack.enter_context(Database(url)) for name, url in self._system.databases.items()}
            return [str(each) for each in audit_at_rest(databases, wait=10).violations]
