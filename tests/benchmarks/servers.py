"""A RabbitMQ and a PostgreSQL of the benchmark's own, which keep on disk what they confirm."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from glob import glob
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pika
import pika.exceptions
import psycopg

from order_service.cli.stack import free_port, free_ports
from tests.benchmarks.measure import cpu_seconds

POSTGRESQL = max(glob("/usr/lib/postgresql/*/bin"), default="", key=lambda path: int(path.split("/")[4]))
RABBITMQ = "/usr/lib/rabbitmq/bin"
DURABLE = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "track_commit_timestamp": "on",  # the end of a transaction is what latencies are measured to
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",  # no checkpoint falls into one contestant's time and not into another's
    "checkpoint_timeout": "1h",
    "max_connections": "300",
}
PATIENCE = 60.0  # seconds to start


class Servers:
    """Both servers on free loopback ports with their files in a temporary folder, from `with` to its end."""

    def __init__(self, *, broker_options: str = "", **settings: str) -> None:
        """`settings` are of PostgreSQL, besides those that keep what is written; `broker_options` of Erlang."""
        self._settings, self._broker_options = DURABLE | settings, broker_options

    def __enter__(self) -> Self:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # ends what was started
        with ExitStack() as stack:
            self.folder = Path(tempfile.mkdtemp(prefix="bench"))
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.folder.chmod(0o755)
            self._start_postgresql(stack)
            self._start_rabbitmq(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def database_url(self, name: str) -> str:
        """The address, for SQLAlchemy, of a database of this name, which is made anew: what it held is gone."""
        with psycopg.connect(f"{self._postgresql}/postgres", autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"{self._postgresql}/{name}".replace("postgresql:", "postgresql+psycopg:")

    def drop_databases(self, prefix: str) -> None:
        """Drop those whose names begin so: what they hold need not be vacuumed while others are measured."""
        with psycopg.connect(f"{self._postgresql}/postgres", autocommit=True) as connection:
            named = "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
            for (name,) in connection.execute(named, [prefix]).fetchall():
                connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def broker_url(self, vhost: str) -> str:
        """The address of a virtual host of this name, which is made anew: what it held is gone."""
        self._rabbitmqctl(
            "eval",
            f'catch rabbit_vhost:delete(<<"{vhost}">>, <<"bench">>), rabbit_vhost:add(<<"{vhost}">>, <<"bench">>), '
            f'rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"{vhost}">>, '
            '<<".*">>, <<".*">>, <<".*">>, <<"bench">>).',
        )
        return f"amqp://guest:guest@127.0.0.1:{self._amqp_port}/{vhost}"

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time that each server has used since its start."""
        return {name: cpu_seconds(process.pid) for name, process in self._processes.items()}

    def roots(self) -> dict[str, int]:
        """The process that each server was started as."""
        return {name: process.pid for name, process in self._processes.items()}

    def messages(self) -> int:
        """How many messages RabbitMQ has been sent since its start."""
        counters = "maps:get([{protocol, amqp091}], rabbit_global_counters:overview())"
        return int(self._rabbitmqctl("eval", f"maps:get(messages_received_total, {counters})."))

    def versions(self) -> dict[str, str]:
        server = self._rabbitmqctl("eval", "rabbit_misc:version().").strip().strip('"')
        program = subprocess.run([f"{POSTGRESQL}/postgres", "-V"], capture_output=True, text=True, check=True)
        return {"postgresql": program.stdout.split()[2], "rabbitmq": server}

    def _start_postgresql(self, stack: ExitStack) -> None:
        folder, port = self.folder / "postgresql", free_port()
        folder.mkdir()
        owner: dict[str, Any] = {}
        if os.geteuid() == 0:  # the server refuses to run as root
            owner = {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(folder, "postgres", "postgres")
        initdb = f"{POSTGRESQL}/initdb -D {folder}/data -U postgres -A trust -E UTF8 --locale=C".split()
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd="/", **owner)
        settings = [f"-c{name}={value}" for name, value in self._settings.items()]
        command = [f"{POSTGRESQL}/postgres", "-D", f"{folder}/data", f"-p{port}", "-h127.0.0.1", f"-k{folder}"]
        log = stack.enter_context((self.folder / "postgresql.log").open("w"))
        server = subprocess.Popen([*command, *settings], cwd="/", stdout=log, stderr=log, **owner)
        stack.callback(end, server, signal.SIGINT)  # a fast shutdown: does not wait for clients
        self._processes = {"postgresql": server}
        self._postgresql = f"postgresql://postgres@127.0.0.1:{port}"
        wait_until(
            lambda: psycopg.connect(f"{self._postgresql}/postgres").close(),
            psycopg.OperationalError,
            server,
            Path(log.name),
        )

    def _start_rabbitmq(self, stack: ExitStack) -> None:
        self._amqp_port, dist_port = free_ports(2)
        folder = self.folder / "rabbitmq"
        self._rabbitmq = {
            **os.environ,
            "HOME": str(self.folder),  # where the cookie is kept
            "RABBITMQ_NODENAME": f"bench-{secrets.token_hex(3)}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._amqp_port),
            "RABBITMQ_DIST_PORT": str(dist_port),
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_CONFIG_FILE": "/nonexistent",
            "RABBITMQ_ADVANCED_CONFIG_FILE": "/nonexistent",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} "
            + self._broker_options,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        log = stack.enter_context((self.folder / "rabbitmq.log").open("w"))
        server = subprocess.Popen(
            [f"{RABBITMQ}/rabbitmq-server"], env=self._rabbitmq, stdout=log, stderr=log, start_new_session=True
        )
        stack.callback(end, server, signal.SIGTERM)
        self._processes["rabbitmq"] = server
        parameters = pika.URLParameters(f"amqp://guest:guest@127.0.0.1:{self._amqp_port}/%2F")
        wait_until(
            lambda: pika.BlockingConnection(parameters).close(),
            pika.exceptions.AMQPConnectionError,
            server,
            Path(log.name),
        )

    def _rabbitmqctl(self, *words: str) -> str:
        command = [f"{RABBITMQ}/rabbitmqctl", "--quiet", *words]
        return subprocess.run(command, env=self._rabbitmq, capture_output=True, text=True, check=True).stdout


def wait_until(
    reachable: Callable[[], object], absent: type[Exception], server: "subprocess.Popen[bytes]", log: Path
) -> None:
    """Return when the call raises `absent` no more; raises RuntimeError when the server ends or takes too long."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            reachable()
        except absent as error:
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{server.args} did not start:\n{log.read_text()[-2000:]}") from error
            time.sleep(0.1)
        else:
            return


def end(process: "subprocess.Popen[Any]", signal_number: int = signal.SIGTERM) -> None:
    """End a process by a signal, and kill it if it has not obeyed in 20 seconds."""
    if process.poll() is None:
        process.send_signal(signal_number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
