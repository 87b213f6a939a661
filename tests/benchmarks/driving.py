"""One run: orders placed by a process of their own, and all that is measured of them until the last has ended."""

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from uuid import UUID

from shared.config import environment
from shared.service import services
from tests.benchmarks.load import Load
from tests.benchmarks.measure import percentile
from tests.benchmarks.system import System, row, scalar

ENDS = """
    SELECT substr(k.key, %s)::int, extract(epoch FROM pg_xact_commit_timestamp(o.xmin))::float8
    FROM idempotency_keys k JOIN orders o ON o.id = k.order_id
    WHERE k.principal = 'customer:alice' AND k.path = '/orders' AND k.key LIKE %s AND o.status = 'fulfilled'
"""
WRITTEN = "SELECT wal_records::int8, wal_bytes::int8, wal_sync::int8 FROM pg_stat_wal"
COMMITS = "SELECT coalesce(sum(xact_commit), 0)::int8 FROM pg_stat_database WHERE datname LIKE 'bench_%'"
STATEMENTS = """
    SELECT coalesce(sum(calls) FILTER (WHERE NOT watching AND query !~* '^(BEGIN|COMMIT|ROLLBACK)'), 0)::int8,
        coalesce(sum(calls) FILTER (WHERE watching), 0)::int8
    FROM (SELECT query, calls, rolname = 'bench_watcher' AS watching
          FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid) said
"""
SAID = "SELECT count(*), coalesce(sum(octet_length(body)), 0)::int8 FROM outbox WHERE id >= %s"
PLACER = "tests.benchmarks.load"
STATISTICS = 1.2  # seconds after which PostgreSQL's processes have told what they counted


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one run took. Latencies are milliseconds from the moment an order was due to the commit of its end."""

    what: str
    orders: int
    per_second: float
    p50: float
    p99: float
    p999: float
    cpu: Mapping[str, float]  # milliseconds an order, by party
    client_cpu: float  # milliseconds an order; not part of the system
    accepted_p50: float  # milliseconds until the order was taken
    accepted_p99: float
    per_order: Mapping[str, float] = field(default_factory=dict)  # events, messages, statements, commits, bytes

    @property
    def cpu_total(self) -> float:
        return sum(self.cpu.values())

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"cpu_total": self.cpu_total}


def warm_up(system: System, load: Load, placer: str = PLACER) -> None:
    """Let every process open its connections and prepare its statements."""
    drive(system, "warm-up", replace(load, orders=min(200, load.orders), rate=0.0, lines=1), placer)


def drive(system: System, what: str, load: Load, placer: str = PLACER) -> Measured:
    """Place the orders by the module `placer`, wait for their end.

    Raises Stuck, or RuntimeError when one did not end as it should.
    """
    load = replace(load, run=secrets.token_hex(4), url=system.urls.get("order", ""))
    counted, used = _counters(system), system.cpu()
    command = [sys.executable, "-m", placer, load.as_json()]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment(), check=True)
    system.wait_for_the_end()
    placed = json.loads(done.stdout)
    used = {name: (now - used[name]) * 1000 / load.orders for name, now in system.cpu().items()}
    time.sleep(STATISTICS)
    counts = {name: (now - counted[name]) / load.orders for name, now in _counters(system).items()}
    counts |= {name: count / load.orders for name, count in _events(system, placed["due"][0]).items()}
    ends = _ends(system, load)
    if len(ends) != load.orders:
        raise RuntimeError(f"{what}: {load.orders - len(ends)} of {load.orders} orders were not fulfilled")
    latencies = sorted((ends[number] - due) * 1000 for number, due in enumerate(placed["due"]))
    accepted = [(at - due) * 1000 for at, due in zip(placed["taken"], placed["due"], strict=True)]
    return Measured(
        what=what,
        orders=load.orders,
        per_second=load.orders / (max(ends.values()) - min(placed["due"])),
        p50=percentile(latencies, 50),
        p99=percentile(latencies, 99),
        p999=latencies[min(len(latencies) - 1, int(len(latencies) * 0.999))],
        cpu={name: round(value, 4) for name, value in used.items()},
        client_cpu=placed["cpu"] * 1000 / load.orders,
        accepted_p50=percentile(accepted, 50),
        accepted_p99=percentile(accepted, 99),
        per_order=counts,
    )


def _ends(system: System, load: Load) -> dict[int, float]:
    with system.connect() as watcher:
        return dict(watcher.execute(ENDS, [len(load.run) + 2, f"{load.run}-%"]).fetchall())


def _counters(system: System) -> dict[str, int]:
    """What the servers have counted since their start; looking is left out, as far as it can be told apart."""
    with system.connect() as watcher:
        watcher.execute("SELECT pg_stat_force_next_flush()")
        records, wal_bytes, syncs = row(watcher, WRITTEN)
        statements, watched = row(watcher, STATEMENTS)
        commits = scalar(watcher, COMMITS) - watched
    names = ("statements", "commits", "wal records", "wal bytes", "wal syncs", "messages")
    return dict(zip(names, (statements, commits, records, wal_bytes, syncs, system.servers.messages()), strict=True))


def _events(system: System, since: float) -> dict[str, int]:
    """What is in all outboxes since a moment, found by the time that message ids begin with."""
    first = UUID(int=(int(since * 1000) - 1) << 80)
    found = []
    for name in services():
        with system.connect(name) as watcher:
            found.append(row(watcher, SAID, first))
    return {"events": sum(count for count, _ in found), "event bytes": sum(size for _, size in found)}
