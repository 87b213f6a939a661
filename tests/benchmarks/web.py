"""POST /orders and GET /orders/{id} under waitress and granian, against a plain handler that answers the same."""

import importlib.util
import json
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any, LiteralString

from order_service.cli.stack import Program, Stack, answers, free_port
from shared.config import environment
from tests.benchmarks.load import Load
from tests.benchmarks.measure import cpu_seconds, machine, percentile
from tests.benchmarks.servers import Servers
from tests.benchmarks.system import KEYS, TOKEN, UNLIMITED, System, made

THREADS = "24"
SOME: LiteralString = "SELECT id FROM orders LIMIT 500"
WAITRESS = ["waitress", "--threads", THREADS, "--connection-limit", "2000"]
GRANIAN = ["granian", "--interface", "wsgi", "--blocking-threads", THREADS, "--workers", "1", "--log-level", "error"]


def contestants(port: str) -> dict[str, list[str]]:
    plain, ours = "tests.benchmarks.plain_handler:app", "tests.benchmarks.granian_app:app"
    found = {
        "waitress, ours": ["order_service", "web"],
        "waitress, plain": [*WAITRESS, f"--listen=127.0.0.1:{port}", plain],
    }
    if importlib.util.find_spec("granian"):
        found["granian, ours"] = [*GRANIAN, "--port", port, ours]
        found["granian, plain"] = [*GRANIAN, "--port", port, plain]
    return found


def measure(requests: int, connections: int = 32) -> dict[str, Any]:
    """So many POSTs, then as many GETs of orders in turn, at each; no worker runs meanwhile."""
    runs = []
    with Servers() as servers:
        for name in contestants(""):
            runs += _measure(made(servers), name, requests, connections)
    return {"machine": machine(), "connections": connections, "runs": runs}


def _measure(system: System, name: str, requests: int, connections: int) -> list[dict[str, Any]]:
    port = str(free_port())
    variables = {"DATABASE_URL": system.databases["order"], "API_KEYS": KEYS, **UNLIMITED, "PORT": port,
                 "LOG_LEVEL": "WARNING",
                 "WEB_THREADS": THREADS, "BACKLOG_LIMIT": "100000000"}  # fmt: skip
    command = [sys.executable, "-m", *contestants(port)[name]]
    with Stack(system.servers.stack.say, restarts=False) as stack:
        stack.start(Program(name="web", command=command, environment=environment(**variables)))
        stack.wait_until("answered by the API", lambda: answers(int(port), greets=False))
        server = stack.process_ids()["web"]
        load = Load(run=secrets.token_hex(4), database_url=system.databases["order"], url=f"http://127.0.0.1:{port}",
                    group=0, connections=connections, orders=requests)  # fmt: skip
        _run(Load(**vars(load) | {"run": "warm", "orders": connections * 4}))
        posted = _run(load, server)
        with system.connect() as watcher:
            paths = [f"/orders/{order_id}" for (order_id,) in watcher.execute(SOME)]
        read = _run(Load(**vars(load) | {"read": paths}), server)
        stop = _seconds_to_stop(stack, int(port), paths[0])
    return [{"what": f"POST, {name}", **posted}, {"what": f"GET, {name}", **read, "stop": stop}]


def _run(load: Load, server: int = 0) -> dict[str, float]:
    used = cpu_seconds(server) if server else 0.0
    command = [sys.executable, "-m", "tests.benchmarks.load", load.as_json()]
    done = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    used = (cpu_seconds(server) if server else 0.0) - used
    return {
        "per_second": load.orders / (max(done["taken"]) - min(done["due"])),
        **_latencies(done["due"], done["taken"]),
        "cpu": used * 1000 / load.orders,
    }


def _latencies(due: Sequence[float], taken: Sequence[float]) -> dict[str, float]:
    latencies = [(at - since) * 1000 for since, at in zip(due, taken, strict=True)]
    return {"p50": percentile(latencies, 50), "p99": percentile(latencies, 99)}


def _seconds_to_stop(stack: Stack, port: int, path: str) -> float:
    """From SIGTERM until the process has ended, while somebody waits for news of an order."""
    with socket.create_connection(("127.0.0.1", port)) as waiting:
        head = f"GET {path}?wait=30 HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        waiting.sendall(head.encode())
        time.sleep(0.5)
        began = time.monotonic()
        stack.stop("web", 60.0)
        return time.monotonic() - began
