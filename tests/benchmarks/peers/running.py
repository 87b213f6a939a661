"""One contestant's processes, from their start to their end, and what is measured of them between."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from order_service.cli.stack import Program, free_port, kill, spawn, tree
from tests.benchmarks.measure import cpu_seconds, percentile
from tests.benchmarks.peers.contestants import SERVICES, Contestant
from tests.benchmarks.peers.work import TABLES
from tests.benchmarks.servers import Servers

ROOT = Path(__file__).parents[3]
PEERS = ROOT / ".venv-peers" / "bin" / "python"
FILLING = 0.2  # the share of a saturated time that is not counted, until all queues are full
ENDS = """
    SELECT id::text, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8
    FROM orders WHERE id = ANY(%s::uuid[])"""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Latencies are milliseconds from the moment at which an order was due to the commit of its end."""

    orders: int
    per_second: float
    p50: float
    p99: float
    cpu: Mapping[str, float]  # milliseconds an order: postgresql, rabbitmq, server, python
    latencies: list[float]

    @property
    def cpu_total(self) -> float:
        return sum(self.cpu.values())


class Running:
    """All processes of a contestant, from `with` to its end. RuntimeError tells the last words of one that dies."""

    def __init__(self, contestant: Contestant, servers: Servers) -> None:
        self.contestant, self._servers = contestant, servers
        self._log = servers.folder / f"{contestant.name}.log"
        self._drivers: list[subprocess.Popen[str]] = []
        self._workers: list[subprocess.Popen[str]] = []
        self._server: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._servers.drop_databases, self.contestant.name)
            self._output = stack.enter_context(self._log.open("a"))
            self._environment = {
                **os.environ,
                **self.contestant.environment,
                "PLACES": json.dumps(self._places()),
                "PYTHONPATH": str(ROOT),
            }
            if self.contestant.prepare:
                command, where = self._command(self.contestant.prepare), {"cwd": ROOT, "env": self._environment}
                subprocess.run(command, check=True, stderr=self._output, **where)  # type: ignore[call-overload]
            for verb in filter(None, [self.contestant.server]):
                self._server.append(self._start(stack, verb))
            for verb in self.contestant.workers:
                self._workers.append(self._start(stack, verb))
            for verb in self.contestant.drivers:
                self._drivers.append(self._start(stack, verb, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
                self._hear(self._drivers[-1])
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def drive(self, *, seconds: float, rate: float = 0.0) -> Measured:
        """Place orders at this rate, or, without one, as many as end; returns when all have ended."""
        load = {"seconds": seconds, "rate": rate, "outstanding": 0 if rate else self.contestant.outstanding}
        share = len(self._drivers)
        asked = json.dumps({name: each if name == "seconds" else each / share for name, each in load.items()})
        before = self._cpu_seconds()
        for driver in self._drivers:
            assert driver.stdin
            driver.stdin.write(asked + "\n")
            driver.stdin.flush()
        answers: list[dict[str, Any]] = [json.loads(self._hear(driver)) for driver in self._drivers]
        used = {name: after - before[name] for name, after in self._cpu_seconds().items()}
        used["python"] += sum(answer["cpu"] for answer in answers)
        due = {order: moment for answer in answers for order, moment in answer["placed"].items()}
        ends = {order: moment for answer in answers for order, moment in answer.get("ended", {}).items()}
        ends = ends or dict(self._orders().execute(ENDS, [list(due)]).fetchall())
        stopped = min(answer["stopped"] for answer in answers)
        filled = max(answer["began"] for answer in answers) + FILLING * seconds
        latencies = [1000 * (ends[order] - moment) for order, moment in due.items()]
        return Measured(
            orders=len(due),
            per_second=sum(filled < moment <= stopped for moment in ends.values()) / (stopped - filled),
            p50=percentile(latencies, 50),
            p99=percentile(latencies, 99),
            cpu={name: 1000 * each / len(due) for name, each in used.items()},
            latencies=latencies,
        )

    def _places(self) -> dict[str, str]:
        """Databases with their tables, a virtual host and ports, all new."""
        name, servers = self.contestant.name, self._servers
        places = {port: str(free_port()) for port in self.contestant.ports} | {"folder": str(servers.folder)}
        if self.contestant.broker:
            places["broker"] = servers.broker_url(name)
        if self.contestant.one_database:
            places |= dict.fromkeys((*SERVICES, "dbos"), servers.database_url(name))
        else:
            places |= {service: servers.database_url(f"{name}-{service}") for service in SERVICES}
        self._orders_url = places["order"].replace("+psycopg", "")
        if not self.contestant.is_ours:
            places = {what: where.replace("+psycopg", "") for what, where in places.items()}
            for service, tables in TABLES.items():
                with psycopg.connect(places[service], autocommit=True) as connection:
                    connection.execute(tables)
        return places

    def _orders(self) -> "psycopg.Connection[Any]":
        return self._stack.enter_context(psycopg.connect(self._orders_url, autocommit=True))

    def _command(self, verb: str) -> list[str]:
        interpreter = sys.executable if self.contestant.is_ours else str(PEERS)
        return [interpreter, "-m", f"tests.benchmarks.peers.{self.contestant.module}", *verb.split()]

    def _start(self, stack: ExitStack, verb: str, **pipes: Any) -> "subprocess.Popen[str]":
        program = Program(name=verb, command=self._command(verb), environment=self._environment, folder=str(ROOT))
        process = spawn(program, **{"stdout": self._output, "stderr": self._output} | pipes)
        stack.callback(end, process)
        return process

    def _hear(self, driver: "subprocess.Popen[str]") -> str:
        assert driver.stdout
        while line := driver.stdout.readline():
            if line.startswith(("ready", "{")):
                return line
        raise RuntimeError(f"{self.contestant.name} has died:\n{self._log.read_text()[-3000:]}")

    def _cpu_seconds(self) -> dict[str, float]:
        used = self._servers.cpu_seconds() | {"python": cpu_seconds(*(each.pid for each in self._workers))}
        return used | ({"server": cpu_seconds(self._server[0].pid)} if self._server else {})


def end(process: "subprocess.Popen[str]") -> None:
    """End a process with all that it started, at once: nobody will ask for what it holds."""
    kill(tree(process.pid))
    process.wait()
