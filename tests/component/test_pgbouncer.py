"""A real PgBouncer: it does not keep a session's settings and statements, so nobody works through it, and the start
says why."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import make_url

from order_service.cli.stack import Program, Stack, free_port
from payment_service.service import SERVICE
from shared.commands import commands, complaining
from shared.config import environment
from shared.database import Database, TransientError, UnsuitableServer
from shared.database.postgresql_connection import BY_KEY

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
LENIENT = "ignore_startup_parameters = options,extra_float_digits"
USER = "postgres"

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="no PgBouncer on this machine")
Pool = Callable[..., str]


@pytest.fixture
def pool(postgres_url: str, open_folder: Path) -> Iterator[Pool]:
    """Starts a PgBouncer before the database, in a pooling mode; returns the address to connect to."""
    server = make_url(postgres_url)

    with Stack(restarts=False) as stack:

        def start(mode: str, *, lenient: bool = True) -> str:
            port = free_port()
            settings = open_folder / "pgbouncer.ini"
            settings.write_text(
                f"[databases]\n* = host={server.host} port={server.port} user={USER}\n[pgbouncer]\n"
                f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
                f"pool_mode = {mode}\n{LENIENT if lenient else ''}\n"
            )
            settings.chmod(0o644)
            user = USER if os.geteuid() == 0 else ""  # it refuses to run as root
            command = [str(PGBOUNCER), "--quiet", str(settings)]
            stack.start(Program(name="pgbouncer", command=command, environment=environment(), user=user, folder="/"))
            url = server.set(port=port).render_as_string(hide_password=False)
            stack.wait_until("answered by PgBouncer", lambda: _is_there(url))
            return url

        yield start


def _is_there(url: str) -> bool:
    try:
        with Database(url) as database, database.reading():
            return True
    except UnsuitableServer:
        return True
    except TransientError:
        return False


@pytest.mark.parametrize("way", ["transaction", "batch", "reading", "reading_batch"])
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_no_transaction_begins_there(pool: Pool, mode: str, way: str) -> None:
    """Its timeouts and plans would not be ours."""
    with Database(pool(mode)) as database, pytest.raises(UnsuitableServer), getattr(database, way)():
        raise AssertionError("never reached")


@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
def test_nor_when_the_settings_are_those_of_the_role(pool: Pool, postgres_url: str, mode: str) -> None:
    """Then its sessions look as they should; the statements that are prepared would still be lost or another's."""
    name = make_url(postgres_url).database
    with Database(postgres_url) as owner, owner.transaction() as connection:
        for setting, value in {**BY_KEY, "statement_timeout": "30s"}.items():
            connection.exec_driver_sql(f"ALTER ROLE {USER} IN DATABASE \"{name}\" SET {setting} = '{value}'")
    with Database(pool(mode)) as database, pytest.raises(UnsuitableServer, match="PgBouncer"), database.reading():
        raise AssertionError("never reached")


@pytest.mark.parametrize("lenient", [True, False])
@pytest.mark.parametrize("verb", ["web", "worker", "migrate"])
def test_the_start_is_refused_with_one_line(pool: Pool, verb: str, lenient: bool) -> None:
    """It names the variable and says what to connect to, whether or not PgBouncer takes the settings and drops them."""
    url = pool("transaction", lenient=lenient)
    environ = {"DATABASE_URL": url, "BROKER_URL": "amqp://localhost:1", "API_KEYS": f"{'k' * 32}:operator"}
    with pytest.raises(SystemExit, match=r"payment: DATABASE_URL: .*PgBouncer"), complaining("payment"):
        CliRunner().invoke(commands(SERVICE), [verb], env=environ, catch_exceptions=False)


def test_a_database_that_is_away_is_no_reason_not_to_start() -> None:
    """It may be back soon."""
    with Database("postgresql+psycopg://nobody@127.0.0.1:1/nowhere") as database:
        database.check()
        with pytest.raises(TransientError), database.reading():
            raise AssertionError("never reached")
