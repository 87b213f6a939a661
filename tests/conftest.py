"""Real servers for the tests: one RabbitMQ and one PostgreSQL a session, a virtual host or database of its own each."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import hypothesis
import pytest

from order_service.cli.stack import UNSAFE, Missing, PostgreSQL, RabbitMQServer, Stack, postgresql, rabbitmq

pytest_plugins = ["tests.no_skips"]

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is no reason to fail
hypothesis.settings.load_profile("untimed")

VHOSTS_AT_A_TIME = 10


def found(find: Callable[[str | None], Path], variable: str) -> Path | None:
    """Where a server's programs are: the ones that the variable names, else the system's packages."""
    try:
        return find(os.environ.get(variable))
    except Missing:
        return None


AS_ROOT = [] if os.geteuid() == 0 else [shutil.which("sudo") or "false", "-n"]
PROCESSES = Path(__file__).parent / "integration"
RABBITMQ = found(rabbitmq.find, "RABBITMQ_SERVER")  # the path of another rabbitmq-server
POSTGRESQL = found(postgresql.find, "POSTGRESQL_BIN")  # the folder of another PostgreSQL's programs


def may_mount() -> bool:
    """Whether a small file system can be made here; where it cannot, tests of a full disk are not among the tests."""
    with tempfile.TemporaryDirectory() as folder:
        made = subprocess.run([*AS_ROOT, "mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False)
        if made.returncode == 0:
            subprocess.run([*AS_ROOT, "umount", folder], check=True)
        return made.returncode == 0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that need a server carry its marker, and say so when the machine has none. Those of whole processes are
    slow."""
    rabbitmq = pytest.mark.skipif(RABBITMQ is None, reason="no RabbitMQ server on this machine")
    postgresql = pytest.mark.skipif(POSTGRESQL is None, reason="no PostgreSQL server on this machine")
    small_disks = [item for item in items if "disk" in getattr(item, "fixturenames", ())]
    if small_disks and not may_mount():
        config.hook.pytest_deselected(items=small_disks)
        items[:] = [item for item in items if item not in small_disks]
    for item in items:
        if item.path.is_relative_to(PROCESSES):
            item.add_marker(pytest.mark.slow)
        needs = {*getattr(item, "fixturenames", ())}
        if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            needs |= {value for value in item.callspec.params.values() if isinstance(value, str)}
        if needs & {"rabbitmq_server", "rabbitmq"}:
            item.add_marker(pytest.mark.rabbitmq)
            item.add_marker(rabbitmq)
        if needs & {"postgresql_server", "postgresql"}:
            item.add_marker(pytest.mark.postgresql)
            item.add_marker(postgresql)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What was logged during a test may hold what no encoding knows; its report travels between processes."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Whatever is started in it ends with the session, however that ends."""
    with Stack(restarts=False) as stack:
        yield stack


@contextmanager
def open_to_all() -> Iterator[Path]:
    """A folder that a server may enter whoever it runs as."""
    with tempfile.TemporaryDirectory(prefix="tests", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    with open_to_all() as folder:
        yield folder


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """An empty folder for servers."""
    with open_to_all() as folder:
        yield folder


@pytest.fixture(scope="session")
def rabbitmq_server(servers_folder: Path, stack: Stack) -> RabbitMQServer:
    """A RabbitMQ for the session, to be told what to do."""
    server = RabbitMQServer(servers_folder / "rabbitmq", program=RABBITMQ)
    server.start(stack)
    return server


@pytest.fixture(scope="session")
def vhosts(rabbitmq_server: RabbitMQServer) -> Iterator[str]:
    """Empty virtual hosts, made in batches because each call of rabbitmqctl takes a second."""

    def made() -> Iterator[str]:
        for first in count(step=VHOSTS_AT_A_TIME):
            names = [f"test-{number}" for number in range(first, first + VHOSTS_AT_A_TIME)]
            rabbitmq_server.add(names)
            yield from names

    return made()


@pytest.fixture
def broker_url(rabbitmq_server: RabbitMQServer, vhosts: Iterator[str]) -> str:
    """An empty virtual host of a real RabbitMQ."""
    return rabbitmq_server.url(next(vhosts))


@pytest.fixture(scope="session")
def postgresql_server(servers_folder: Path, stack: Stack) -> PostgreSQL:
    """A PostgreSQL for the session; it keeps nothing on disk that must survive."""
    server = PostgreSQL(servers_folder / "postgresql", programs=POSTGRESQL, settings=UNSAFE, trusts=True)
    server.start(stack)
    return server


@pytest.fixture
def new_postgresql_database(postgresql_server: PostgreSQL) -> Iterator[Callable[[], str]]:
    """Makes an empty database and returns its URL; all are gone after the test."""
    prefix = f"test_{secrets.token_hex(6)}_"
    numbers = count()

    def make() -> str:
        name = f"{prefix}{next(numbers)}"
        postgresql_server.create(name)
        return postgresql_server.url(name)

    yield make
    postgresql_server.drop(prefix)


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
