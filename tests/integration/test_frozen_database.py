"""A PostgreSQL that is stopped by SIGSTOP for longer than the watchdog waits, under everything, for real."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from order_service.cli.stack import Stack
from tests.component.apps import UNLIMITED
from tests.integration.processes import Answer, Running, running

WATCHDOG = 5.0  # seconds
FROZEN = 2 * WATCHDOG
CALLERS = 40  # more than there are threads
THREADS = 24
OTHERS = 16  # threads of the web process that serve nobody, at most
AT_ONCE, SOON = 2.0, 8.0  # seconds; on a machine with nothing else to do 0.01 and 2.5


class Callers:
    """People who ask, one question after the other, and note each answer and how long it took."""

    def __init__(self, system: Running, order_id: str) -> None:
        self.system, self.order_id, self.stop = system, order_id, threading.Event()
        self.health: list[tuple[float, Answer]] = []
        self.others: list[tuple[float, Answer]] = []
        self.unplaced: list[str] = []

    @contextmanager
    def calling(self) -> Iterator[None]:
        people = [threading.Thread(target=self._call, args=(number,)) for number in range(CALLERS)]
        people.append(threading.Thread(target=self._look_after))
        for each in people:
            each.start()
        yield
        self.stop.set()
        for each in people:
            each.join()

    def _look_after(self) -> None:
        while not self.stop.wait(0.1):
            self._ask(self.health, lambda: self.system.ask("GET", "/healthz"))

    def _call(self, number: int) -> None:
        turn = 0
        while not self.stop.is_set():
            key, turn = f"frozen-{number}-{turn}", turn + 1
            if number % 2:
                self._ask(self.others, lambda: self.system.ask("GET", f"/orders/{self.order_id}"))
            elif self._ask(self.others, lambda key=key: self.system.place(key)).status == 503:
                self.unplaced.append(key)
            self.stop.wait(0.2)

    def _ask(self, noted: list[tuple[float, Answer]], ask: Callable[[], Answer]) -> Answer:
        began = time.monotonic()
        answer = ask()
        noted.append((time.monotonic() - began, answer))
        return answer


def threads(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("Threads:")[2].split()[0])


@pytest.mark.slow
@pytest.mark.rabbitmq
@pytest.mark.timeout(600)
def test_a_frozen_database_ends_nobody_and_keeps_nobody_waiting(
    stack: Stack, new_postgresql_database: Callable[[], str], broker_url: str, tmp_path: Path
) -> None:
    """Workers drop the connection, live and go on; whoever asks is told in time; afterwards every order ends."""
    settings = {"WATCHDOG": f"{WATCHDOG}", "NETWORK_TIMEOUT": "1", "NETWORK_LATENCY_MS": "200"}
    with running(new_postgresql_database, broker_url, tmp_path, **settings, **UNLIMITED) as system:
        orders = system.placed(30, "before")
        before = system.stack.process_ids()
        callers, most = Callers(system, orders[0]), 0
        stack.freeze("postgresql")
        try:
            with callers.calling():
                until = time.monotonic() + FROZEN
                while time.monotonic() < until:
                    most = max(most, threads(before["order-web"]))
                    assert system.stack.process_ids() == before
                    time.sleep(0.05)
        finally:
            stack.resume("postgresql")
        assert system.stack.process_ids() == before
        took, health = zip(*callers.health, strict=True)
        assert {each.status for each in health} == {200}
        assert max(took) < AT_ONCE
        took, answers = zip(*callers.others, strict=True)
        print(f"{len(answers)} answers, the slowest after {max(took):.2f} s; {most} threads")
        assert {(each.status, bool(each.retry_after)) for each in answers} == {(503, True)}
        assert max(took) < SOON
        assert most <= THREADS + OTHERS
        system.stack.wait_until("ready", lambda: system.ask("GET", "/readyz").status == 200)
        again = {key: system.place(key) for key in callers.unplaced[:CALLERS]}
        assert {each.status for each in again.values()} == {202}
        system.wait_until_fulfilled(orders + [each.document["id"] for each in again.values()])
        assert system.stack.process_ids() == before
