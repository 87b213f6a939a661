"""Light traffic: orders by POST from a process of their own, a customer and an operator who look, and health checks."""

import http.client
import json
import secrets
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import ExitStack
from typing import Any

from order_service.cli.stack import Program, spawn
from shared.config import environment
from tests.benchmarks.load import Load
from tests.benchmarks.system import TOKEN, System

OPERATOR = "bench-operator"
CHECK = 5.0  # seconds between health checks, as an orchestrator has them
LOOK = 1.0  # seconds between looks while there is load
WHERE = {"payment": "payments", "inventory": "reservations", "shipping": "shipments"}


def place(system: System, stack: ExitStack, orders: int, rate: float) -> "subprocess.Popen[str]":
    """Begin to place so many orders by HTTP; ends with the stack, if it has not ended before."""
    load = Load(
        run=secrets.token_hex(4),
        database_url=system.databases["order"],
        url=system.urls["order"],
        orders=orders,
        rate=rate,
        group=0,
    )
    command = [sys.executable, "-m", "tests.benchmarks.load", load.as_json()]
    placer = spawn(Program(name="placer", command=command, environment=environment()), stdout=subprocess.DEVNULL)
    stack.callback(placer.wait, 20)
    stack.callback(placer.terminate)
    return placer


def prime(system: System, requests: int) -> None:
    """Place a few orders and ask each API about one so often that its garbage collector has run: until then the memory
    of an API rises with each request."""
    with ExitStack() as stack:
        place(system, stack, 3, 5.0).wait()
    system.wait_for_the_end(120.0)
    order_id = get(f"{system.urls['order']}/orders?limit=1", TOKEN)["items"][0]["id"]
    for name, url in system.urls.items():
        paths = [f"{WHERE[name]}/{order_id}"] if name in WHERE else ["orders?limit=10", f"orders/{order_id}/history"]
        for path in paths:
            for _ in range(requests):
                get(f"{url}/{path}", OPERATOR)


class Lookers:
    """A thread that checks the health of every API always, and looks at young orders while it is told to."""

    def __init__(self, system: System) -> None:
        self._urls = system.urls
        self._stop = threading.Event()
        self.looking = threading.Event()
        self.failures: list[str] = []
        self._thread = threading.Thread(target=self._run, name="lookers", daemon=True)

    def __enter__(self) -> "Lookers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        turns = 0
        while not self._stop.wait(LOOK):
            try:
                if turns % int(CHECK / LOOK) == 0:
                    for url in self._urls.values():
                        get(f"{url}/readyz")
                if self.looking.is_set():
                    self._look()
            except (OSError, http.client.HTTPException) as error:  # the soak goes on, and tells in the end
                self.failures.append(
                    f"looking: {error!r} {getattr(error, 'filename', None) or ''}"
                )  # an HTTPError's URL
            turns += 1

    def _look(self) -> None:
        """As a customer does who waits for news of an order, and an operator who follows it through the services."""
        listed = get(f"{self._urls['order']}/orders?limit=10", TOKEN)["items"]
        if listed:
            youngest, oldest = (each["id"] for each in (listed[0], listed[-1]))
            get(f"{self._urls['order']}/orders/{youngest}?wait=2", TOKEN)
            get(f"{self._urls['order']}/orders/{oldest}/history", TOKEN)
            for name, path in WHERE.items():
                get(f"{self._urls[name]}/{path}/{oldest}", OPERATOR, missing_ok=True)


def get(url: str, token: str = "", *, missing_ok: bool = False) -> Any:
    """The JSON that is there; raises HTTPError when it is refused."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        if missing_ok and error.code == 404:
            error.close()
            return None
        raise
