"""What a RabbitMQ may suffer beyond being killed or frozen: alarms, closed connections, lost queues and data."""

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from order_service.cli.stack import RabbitMQServer, Stack
from order_service.cli.system.breakable import BROKER, CUT, WELL
from order_service.web.console.breaking import Part, Refusal
from shared.bootstrap import system_topology
from shared.database import Database, DatabaseError
from shared.logs import first_line
from shared.messaging.broker import ConnectionLost
from shared.messaging.brokers.rabbitmq import RabbitMQ
from shared.messaging.durability.republishing import republish
from shared.messaging.notifier import Notifier
from shared.service import services

MEMORY, DISK = "short of memory", "short of disk"
EMPTIED, DELETED, LOST = "queues emptied", "queues deleted", "all data lost"
CHOICES = (WELL, CUT, MEMORY, DISK, EMPTIED, DELETED, LOST)
BOOTING = 10.0  # seconds
BEFORE = timedelta(seconds=15)  # what was confirmed that long before has been worked
EVERY_QUEUE = "[{act} || Queue <- rabbit_amqqueue:list()]"
ACTS: Mapping[str, str] = {  # expressions of Erlang
    CUT: 'rabbit_networking:close_all_connections("by hand, to see it heal")',
    MEMORY: "vm_memory_monitor:set_vm_memory_high_watermark(0.0000001)",
    DISK: "rabbit_disk_monitor:set_disk_free_limit(1000000000000000)",
    EMPTIED: EVERY_QUEUE.format(act="rabbit_amqqueue:purge(Queue)"),
    DELETED: EVERY_QUEUE.format(act='rabbit_amqqueue:delete(Queue, false, false, <<"by hand">>)'),
}
HEALS: Mapping[str, str] = {
    MEMORY: "vm_memory_monitor:set_vm_memory_high_watermark(0.4)",
    DISK: "rabbit_disk_monitor:set_disk_free_limit(50000000)",
}


class BrokerServer:
    """The one part `broker`; what its queues lost is published again when it is made well."""

    def __init__(self, stack: Stack, server: RabbitMQServer, databases: Mapping[str, Database]) -> None:
        self._stack, self._server, self._databases = stack, server, databases
        self._state, self._began = WELL, 0.0

    def parts(self) -> list[Part]:
        return [Part(name=BROKER, state=self._state, choices=CHOICES, kind=BROKER)]

    def set(self, part: str, choice: str) -> None:
        if self._state not in (WELL, choice):
            self._heal()
        self._began = time.monotonic()
        if choice == LOST:
            self._lose_everything()
        elif choice != WELL:
            self._evaluate(ACTS[choice])
        self._state = WELL if choice == CUT else choice

    def failures(self) -> list[str]:
        return []

    def _heal(self) -> None:
        if expression := HEALS.get(self._state):
            self._evaluate(expression)
        else:
            self._wait()
            with refusing():
                if self._state in (DELETED, LOST):
                    RabbitMQ(self._server.url()).provision(system_topology())
                publish_again(self._databases, timedelta(seconds=time.monotonic() - self._began) + BEFORE)
        self._state = WELL

    def _lose_everything(self) -> None:
        self._stack.stop("rabbitmq")
        shutil.rmtree(self._server.folder / "mnesia", ignore_errors=True)
        self._stack.start_again("rabbitmq")

    def _evaluate(self, expression: str) -> None:
        self._wait()
        with refusing():
            self._server.evaluate(expression)

    def _wait(self) -> None:
        until = time.monotonic() + BOOTING
        while not self._server.is_ready():
            if time.monotonic() > until:
                raise Refusal("RabbitMQ does not answer, so nothing can be done about it.")
            time.sleep(0.1)


@contextmanager
def refusing() -> Iterator[None]:
    """What a server does not do now becomes a Refusal."""
    try:
        yield
    except (ConnectionLost, DatabaseError, subprocess.SubprocessError) as error:
        raise Refusal(f"It cannot be done now: {first_line(error)}") from error


def publish_again(databases: Mapping[str, Database], since: timedelta) -> None:
    """Have every service publish again what was confirmed within that time. Raises DatabaseError."""
    for name, database in databases.items():
        with database.reading() as connection:
            now = services()[name].clock.now(connection)
        republish(services()[name].tables.outbox, database, services()[name].clock, now - since)
        notify(database)


def notify(database: Database) -> None:
    """Tell a service's workers that there is something to publish."""
    notifier = Notifier(database)
    notifier.notify()
    notifier.close()
