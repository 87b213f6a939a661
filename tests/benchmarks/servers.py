"""A RabbitMQ and a PostgreSQL of the benchmark's own, which keep on disk what they confirm."""

import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from order_service.cli import stack as stacks
from order_service.cli.stack import Stack
from tests.benchmarks.measure import cpu_seconds

DURABLE = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "track_commit_timestamp": "on",  # the end of a transaction is what latencies are measured to
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",  # no checkpoint falls into one contestant's time and not into another's
    "checkpoint_timeout": "1h",
}


class Servers:
    """Both servers, from `with` to its end. Whatever else runs belongs into `stack`, and ends before them."""

    def __init__(self, *, broker_options: str = "", **settings: str) -> None:
        """`settings` are of PostgreSQL, besides those that keep what is written; `broker_options` of Erlang."""
        self._settings, self._broker_options = DURABLE | settings, broker_options

    def __enter__(self) -> Self:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # ends what was started
        with ExitStack() as held:
            self.folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="bench")))
            self.folder.chmod(0o755)
            servers = stacks.Servers(self.folder, settings=self._settings, options=self._broker_options, trusts=True)
            held.enter_context(servers)
            self.stack = held.enter_context(Stack(self._note, restarts=False))
            servers.start(self.stack)
            self._held = held.pop_all()
        self._postgresql, self._rabbitmq = servers.postgresql, servers.rabbitmq
        self.log = self._postgresql.log
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def database_url(self, name: str) -> str:
        """The address, for SQLAlchemy, of a database of this name, which is made anew: what it held is gone."""
        self._postgresql.drop(name)
        self._postgresql.create(name)
        return self._postgresql.url(name)

    def drop_databases(self, prefix: str) -> None:
        """Drop those whose names begin so: what they hold need not be vacuumed while others are measured."""
        self._postgresql.drop(prefix)

    def broker_url(self, vhost: str) -> str:
        """The address of a virtual host of this name, which is made anew: what it held is gone."""
        self._rabbitmq.add([vhost])
        return self._rabbitmq.url(vhost)

    def roots(self) -> dict[str, int]:
        """The process that each server was started as."""
        return {name: self.stack.process_ids()[name] for name in ("postgresql", "rabbitmq")}

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time that each server has used since its start."""
        return {name: cpu_seconds(pid) for name, pid in self.roots().items()}

    def messages(self) -> int:
        """How many messages RabbitMQ has been sent since its start."""
        counters = "maps:get([{protocol, amqp091}], rabbit_global_counters:overview())"
        return int(self._rabbitmq.evaluate(f"maps:get(messages_received_total, {counters})"))

    def versions(self) -> dict[str, str]:
        return {"postgresql": self._postgresql.version(), "rabbitmq": self._rabbitmq.version()}

    def _note(self, name: str, line: str) -> None:
        with (self.folder / "processes.log").open("a") as log:
            print(f"{name} | {line}", file=log)
