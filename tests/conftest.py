"""Real servers for the tests: one RabbitMQ and one PostgreSQL a session, a virtual host or database of its own each."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
from pytest_rabbitmq import factories
from pytest_rabbitmq.factories.executor import RabbitMqExecutor

from tests.ports import free_port

pytest_plugins = ["tests.no_skips"]

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is no reason to fail
hypothesis.settings.load_profile("untimed")

# RabbitMQ listens on loopback only, and reads no configuration of this machine.
os.environ.setdefault("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
os.environ.setdefault("ERL_EPMD_ADDRESS", "127.0.0.1")
os.environ.setdefault("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
os.environ.setdefault("RABBITMQ_CONFIG_FILE", "/nonexistent")
os.environ.setdefault("RABBITMQ_ADVANCED_CONFIG_FILE", "/nonexistent")

# A node is found under its name: at the address it listens on, whatever this machine's name resolves to.
rabbitmq_proc = factories.rabbitmq_proc(node=f"test-{os.getpid()}@localhost")

POSTGRESQL = max(glob("/usr/lib/postgresql/*/bin"), default=None, key=lambda path: int(path.split("/")[4]))
VHOSTS_AT_A_TIME = 10
MAKE_VHOST = """rabbit_vhost:add(<<"{name}">>, <<"test">>), rabbit_auth_backend_internal:set_permissions(
    <<"guest">>, <<"{name}">>, <<".*">>, <<".*">>, <<".*">>, <<"test">>)"""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that need a server carry its marker, and say so when the machine has none."""
    server = config.getoption("rabbitmq_server") or config.getini("rabbitmq_server")
    rabbitmq = pytest.mark.skipif(not shutil.which(server), reason="no RabbitMQ server on this machine")
    postgresql = pytest.mark.skipif(POSTGRESQL is None, reason="no PostgreSQL server on this machine")
    for item in items:
        needs = {*getattr(item, "fixturenames", ())}
        if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            needs |= {value for value in item.callspec.params.values() if isinstance(value, str)}
        if needs & {"rabbitmq_proc", "rabbitmq"}:
            item.add_marker(pytest.mark.rabbitmq)
            item.add_marker(rabbitmq)
        if needs & {"postgresql_server", "postgresql"}:
            item.add_marker(pytest.mark.postgresql)
            item.add_marker(postgresql)


@pytest.fixture(scope="session")
def vhosts(rabbitmq_proc: RabbitMqExecutor) -> Iterator[str]:
    """Empty virtual hosts that `guest` may use, made in batches because each call of rabbitmqctl takes a second."""

    def made() -> Iterator[str]:
        for first in count(step=VHOSTS_AT_A_TIME):
            names = [f"test-{number}" for number in range(first, first + VHOSTS_AT_A_TIME)]
            rabbitmq_proc.rabbitctl_output("eval", ", ".join(MAKE_VHOST.format(name=name) for name in names) + ".")
            yield from names

    return made()


@pytest.fixture
def broker_url(rabbitmq_proc: RabbitMqExecutor, vhosts: Iterator[str]) -> str:
    """An empty virtual host of a real RabbitMQ."""
    return f"amqp://guest:guest@{rabbitmq_proc.host}:{rabbitmq_proc.port}/{next(vhosts)}"


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The address of a PostgreSQL server without a database name; it keeps nothing on disk that must survive."""
    folder = tempfile.mkdtemp(prefix="pg")
    owner: dict[str, Any] = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        owner = {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(folder, "postgres", "postgres")

    def run(program: str, *arguments: str) -> None:
        words = [f"{POSTGRESQL}/{program}", "-D", f"{folder}/data", *arguments]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd="/", **owner)

    port = free_port()
    options = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off -c full_page_writes=off -c max_connections=200"
    run("initdb", "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
    run("pg_ctl", "-w", "-l", f"{folder}/log", "-o", options, "start")
    yield f"127.0.0.1:{port}"
    run("pg_ctl", "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.fixture
def new_postgresql_database(postgresql_server: str, request: pytest.FixtureRequest) -> Callable[[], str]:
    """Makes an empty database and returns its URL; it is gone after the test."""
    server = f"postgresql://postgres@{postgresql_server}"

    def make() -> str:
        name = f"test_{secrets.token_hex(6)}"
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        request.addfinalizer(lambda: drop(name))
        return f"postgresql+psycopg://postgres@{postgresql_server}/{name}"

    def drop(name: str) -> None:
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    return make


@pytest.fixture
def crowd() -> Iterator[ThreadPoolExecutor]:
    """Sixty-four threads."""
    with ThreadPoolExecutor(64) as pool:
        yield pool


@pytest.fixture
def postgres_url(new_postgresql_database: Callable[[], str]) -> str:
    """An empty PostgreSQL database."""
    return new_postgresql_database()


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes an empty database and returns its URL; the test runs once with each kind."""
    if request.param == "postgresql":
        make: Callable[[], str] = request.getfixturevalue("new_postgresql_database")
        return make
    numbers = count()
    return lambda: f"sqlite:///{tmp_path}/{next(numbers)}.db"


@pytest.fixture
def database_url(new_database: Callable[[], str]) -> str:
    """An empty database; the test runs once with each kind."""
    return new_database()
