"""`python -m tests.benchmarks.ten_thousand`: orders of mixed fate through all services as processes, and the books.

Needs a RabbitMQ and a PostgreSQL. Reports the time, the processor time per order of each party, and how orders ended.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pika
from rich.console import Console
from sqlalchemy import make_url

from order_service.cli.system.audit import settled_books
from order_service.cli.system.books import open_databases, report
from shared.config import environment
from tests.benchmarks.cpu import listener, seconds
from tests.benchmarks.mix import MIX, Shop

PORTS = {"order": 18000, "payment": 18001, "inventory": 18002, "shipping": 18003}


def main() -> int:
    """Run it; the exit code is 0 only if every order ended as it must and the books add up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=8, help="customers at once")
    parser.add_argument("--workers", default="1", help="as of `fulfillment up`")
    parser.add_argument("--broker", default="amqp://guest:guest@127.0.0.1:5672/%2F")
    parser.add_argument("--database", default="postgresql+psycopg://postgres@127.0.0.1:5432/{service}")
    parser.add_argument("--timeouts", default="payment=5,capture=5", help="STEP_TIMEOUTS: some answers get lost")
    parser.add_argument("--plain", action="store_true", help="only orders that meet no trouble")
    parser.add_argument("--patience", type=float, default=600.0, help="seconds until everything must have ended")
    options = parser.parse_args()
    command = [sys.executable, "-m", "order_service.cli", "up", "--broker", options.broker]
    command += ["--database", options.database, "--create-databases", "--workers", options.workers]
    command += ["--ports", ",".join(f"{name}={port}" for name, port in PORTS.items())]
    keys = {
        "API_KEYS": "bench-operator:operator,bench-alice:customer:alice",
        "KEY_RATE": "0",
        "KEY_SHARE": "100",
        "LOG_LEVEL": "WARNING",
        "STEP_TIMEOUTS": options.timeouts,
    }
    up = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(**keys))
    try:
        ready = threading.Event()
        threading.Thread(target=_pass_on, args=(up, ready), daemon=True).start()
        until = time.monotonic() + 120
        while not ready.wait(0.2):
            if up.poll() is not None or time.monotonic() > until:
                sys.exit("the services did not come up")
        return measure(options, up)
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(30)


def _pass_on(up: "subprocess.Popen[str]", ready: threading.Event) -> None:
    assert up.stdout
    for line in up.stdout:
        print(line, end="", flush=True)
        if "place an order" in line:
            ready.set()


def measure(options: argparse.Namespace, up: "subprocess.Popen[str]") -> int:
    parties = {
        "services": up.pid,
        "PostgreSQL": listener(make_url(options.database).port or 5432),
        "RabbitMQ": listener(pika.URLParameters(options.broker).port),
        "customers": os.getpid(),
    }
    shop = Shop({name: f"http://127.0.0.1:{port}" for name, port in PORTS.items()}, "bench-operator", "bench-alice")
    if options.plain:
        shop.mix = [fate for fate in MIX if fate.name == "plain"]
    shop.receive_goods()
    before = {name: seconds(pid) for name, pid in parties.items()}
    began = time.monotonic()
    shop.place(options.orders, options.threads)
    placed = time.monotonic() - began
    shop.wait_for_the_end(options.patience)
    ended = time.monotonic() - began
    used = {name: seconds(pid) - before[name] for name, pid in parties.items()}
    used["customers"] -= used["services"]  # which are their descendants
    with open_databases(options.database) as databases:
        books = settled_books(databases, wait=60)
    Console(width=150).print(report(books))
    known = Counter(fate.name for fate in shop.fates.values())
    ends = shop.ends()
    for name, count in known.items():
        statuses = ", ".join(f"{n} {status}" for (fate, status), n in ends.items() if fate == name)
        print(f"{name:24} {count:6}: {statuses}")
    print(f"{options.orders} orders placed in {placed:.1f} s, ended in {ended:.1f} s: {options.orders / ended:.0f}/s")
    for name, spent in used.items():
        print(f"{name:12} {1000 * spent / options.orders:6.2f} ms of processor time per order")
    wrong = [*shop.failures, *shop.wrong_ends(), *books.under_way, *map(str, books.differences)]
    for each in wrong[:20]:
        print(f"wrong: {each}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
