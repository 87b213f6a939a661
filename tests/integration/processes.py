"""The four services' workers and the Order API as real processes, for as long as a test needs."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from order_service.cli.stack import Stack, free_port, processes_of_all
from shared.bootstrap import system_topology
from shared.messaging.brokers.rabbitmq import RabbitMQ
from shared.service import services
from tests.component.apps import KEYS, ORDER, TOKENS, UNLIMITED, prepare

PATIENCE = 120.0  # seconds, for what takes a few on a machine that has nothing else to do


class Answer(NamedTuple):
    status: int  # 0: nobody answered
    document: Any
    retry_after: str | None


@dataclass(frozen=True)
class Running:
    """The processes, and the Order API's address."""

    stack: Stack
    url: str

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """As the customer alice."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        named |= {"Authorization": f"Bearer {TOKENS['alice']}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, content, named, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                return Answer(response.status, json.load(response), response.headers["Retry-After"])
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, json.load(error), error.headers["Retry-After"])
        except OSError as error:
            return Answer(0, repr(error), None)

    def place(self, key: str) -> Answer:
        return self.ask("POST", "/orders", ORDER, Idempotency_Key=key)

    def placed(self, number: int, prefix: str) -> list[str]:
        """The ids of so many new orders."""
        answers = [self.place(f"{prefix}-{each}") for each in range(number)]
        assert {each.status for each in answers} == {202}, answers
        return [each.document["id"] for each in answers]

    def order(self, order_id: str) -> dict[str, Any]:
        answer = self.ask("GET", f"/orders/{order_id}")
        assert answer.status == 200, answer
        found: dict[str, Any] = answer.document
        return found

    def wait_until_fulfilled(self, order_ids: list[str]) -> None:
        """Return when each has ended so; fails as soon as one has turned back."""
        left = list(order_ids)

        def ended() -> bool:
            nonlocal left
            found = [self.order(each) for each in left]
            assert all(each["reason"] is None for each in found), found
            left = [each["id"] for each in found if each["status"] != "fulfilled"]
            return not left

        self.stack.wait_until("fulfilled", ended, PATIENCE)


@contextmanager
def running(new_database: Callable[[], str], broker_url: str, folder: Path, **variables: str) -> Iterator[Running]:
    """One worker of each service, and the Order API; whoever ends is not started again. Logs are in `folder`."""
    databases = {name: new_database() for name in services()}
    for name, url in databases.items():
        prepare(name, url)
    RabbitMQ(broker_url).provision(system_topology(), settle=0)
    urls = {"order": f"http://127.0.0.1:{free_port()}"}
    settings = {**UNLIMITED, "LOG_LEVEL": "INFO", **variables}
    lines = (folder / "processes.log").open("w", buffering=1)
    with lines, Stack(lambda name, line: print(name, line, file=lines), restarts=False) as stack:
        workers = dict.fromkeys(services(), 1)
        stack.start(*processes_of_all(databases, broker_url, workers, urls, KEYS, **settings))
        found = Running(stack, urls["order"])
        stack.wait_until("ready", lambda: found.ask("GET", "/readyz").status == 200, PATIENCE)
        yield found
