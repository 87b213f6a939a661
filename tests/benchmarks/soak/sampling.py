"""What every process holds at a moment: the services', RabbitMQ's, and each of PostgreSQL's by whom it works for."""

import os
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.system import WATCHER, System, Watcher

ACTIVITY = "SELECT pid, backend_type, application_name FROM pg_stat_activity WHERE usename IS DISTINCT FROM %s"
UNNAMED = ("autovacuum worker", "parallel worker", "walsender")  # they come and go
CONTEXT = re.compile(r"\[(\d+)\] LOG: +level: \d+; ([A-Za-z]\w*)")
MORE = re.compile(r"\[(\d+)\] LOG: +level: \d+; (\d+) more child contexts")
TOTAL = re.compile(r"\[(\d+)\] LOG: +Grand total: (\d+) bytes")
TO_ANSWER = 10.0  # seconds that a backend has to tell what it holds


@dataclass(frozen=True)
class Held:
    """One process: MiB of memory and open file descriptors."""

    mib: float
    fds: int


@dataclass(frozen=True)
class Backend:
    """One PostgreSQL backend: KiB in its memory contexts, how many these are, and those of prepared statements that it
    named."""

    kib: float
    contexts: int
    plans: int


@dataclass
class Sampler:
    """Names processes once, so that a name means the same process as long as it lives."""

    system: System
    _names: dict[tuple[int, str], str] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def processes(self, watcher: Watcher) -> dict[str, Held]:
        """All that live, by name. Of PostgreSQL's, memory is what is not in its shared buffers."""
        found = {}
        for pid, party in self._living(watcher):
            try:
                name = self._name(pid, party)
                found[name] = held(pid, anonymous=party.startswith("postgresql"))
            except (FileNotFoundError, ProcessLookupError):  # it has just ended
                continue
        return found

    def backends(self, watcher: Watcher) -> dict[str, Backend]:
        """What PostgreSQL says of the memory of each backend that works for a service; it says so in its log."""
        log = self.system.servers.log
        begin, asked = log.stat().st_size, dict[int, str]()
        for pid, kind, application in watcher.execute(ACTIVITY, [WATCHER]).fetchall():
            if kind == "client backend" and application in self.system.processes:
                try:
                    asked[pid] = self._name(pid, f"postgresql for {application}")
                except (FileNotFoundError, ProcessLookupError):  # it has just ended
                    continue
                watcher.execute("SELECT pg_log_backend_memory_contexts(%s)", [pid])
        until = time.monotonic() + TO_ANSWER
        while True:
            with log.open("rb") as lines:
                lines.seek(begin)
                told = backends_from(lines.read().decode(errors="replace"))
            if asked.keys() <= told.keys() or time.monotonic() > until:
                return {name: told[pid] for pid, name in asked.items() if pid in told}
            time.sleep(0.1)

    def _living(self, watcher: Watcher) -> Iterator[tuple[int, str]]:
        children = families()
        for name, roots in self.system.processes.items():
            for pid in descendants(roots, children):
                yield pid, name
        activity = {pid: (kind, application) for pid, kind, application in watcher.execute(ACTIVITY, [WATCHER])}
        for name, root in self.system.servers.roots().items():
            for pid in descendants([root], children):
                if name == "rabbitmq":
                    yield pid, f"rabbitmq {command(pid)}"
                elif pid == root:
                    yield pid, "postgresql postmaster"
                elif pid in activity:
                    kind, application = activity[pid]
                    if kind == "client backend" and application in self.system.processes:
                        yield pid, f"postgresql for {application}"
                    elif kind != "client backend" and kind not in UNNAMED:
                        yield pid, f"postgresql {kind}"

    def _name(self, pid: int, party: str) -> str:
        key = pid, began(pid)
        if key not in self._names:
            self._counts[party] += 1
            number = self._counts[party]
            self._names[key] = f"{party} {number}" if number > 1 or party.startswith("postgresql for") else party
        return self._names[key]


def backends_from(log: str) -> dict[int, Backend]:
    """What these lines of PostgreSQL's log say of backends, by pid. Of a context's children the log names a hundred."""
    contexts: Counter[int] = Counter()
    plans: Counter[int] = Counter()
    for pid, name in CONTEXT.findall(log):
        contexts[int(pid)] += 1
        plans[int(pid)] += name == "CachedPlanSource"
    for pid, unnamed in MORE.findall(log):
        contexts[int(pid)] += int(unnamed)
    return {
        int(pid): Backend(int(size) / 1024, contexts[int(pid)], plans[int(pid)]) for pid, size in TOTAL.findall(log)
    }


def held(pid: int, *, anonymous: bool) -> Held:
    """What a process holds now: resident memory, or only what is neither a file's nor made to be shared.

    Raises FileNotFoundError or ProcessLookupError when it is gone.
    """
    sizes: dict[str, int] = defaultdict(int)
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, size = line.split()[:2]
        sizes[name.rstrip(":")] = int(size)
    kib = sizes["Anonymous" if anonymous else "Rss"] + sizes["Swap"]
    return Held(kib / 1024, len(os.listdir(f"/proc/{pid}/fd")))


def families() -> dict[int, list[int]]:
    """The children of every process."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                children[int(_fields(int(entry.name))[1])].append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):  # it has just ended
                continue
    return children


def descendants(roots: list[int], children: dict[int, list[int]]) -> Iterator[int]:
    """These processes and all below them, parents first."""
    pending = list(roots)
    while pending:
        yield (each := pending.pop(0))
        pending += sorted(children.get(each, []))


def began(pid: int) -> str:
    """When a process began, in ticks since the machine did: a pid may be given again."""
    return _fields(pid)[19]


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return "gone"


def _fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
