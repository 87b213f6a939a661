"""PgBouncer: it does not keep a session's settings, so nobody works through it, and the start says why."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from click.testing import CliRunner
from sqlalchemy import make_url

from payment_service.service import SERVICE
from shared.commands import commands, complaining
from shared.database import Database, TransientError, UnsuitableServer
from tests.relay import Pooler


@pytest.fixture
def pooled_url(postgres_url: str) -> Iterator[str]:
    url = make_url(postgres_url)
    with closing(Pooler(str(url.host), int(url.port or 5432))) as pooler:
        yield url.set(port=pooler.port).render_as_string(hide_password=False)


@pytest.mark.parametrize("way", ["transaction", "batch", "reading", "reading_batch"])
def test_no_transaction_begins_there(pooled_url: str, way: str) -> None:
    """Its timeouts and plans would not be ours."""
    with Database(pooled_url) as database, pytest.raises(UnsuitableServer), getattr(database, way)():
        raise AssertionError("never reached")


@pytest.mark.parametrize("verb", ["web", "worker", "migrate"])
def test_the_start_is_refused_with_one_line(pooled_url: str, verb: str) -> None:
    """It names the variable and says what to connect to."""
    environment = {"DATABASE_URL": pooled_url, "BROKER_URL": "amqp://localhost:1", "API_KEYS": f"{'k' * 32}:operator"}
    with pytest.raises(SystemExit, match=r"payment: DATABASE_URL: .*PgBouncer"), complaining("payment"):
        CliRunner().invoke(commands(SERVICE), [verb], env=environment, catch_exceptions=False)


def test_a_database_that_is_away_is_no_reason_not_to_start() -> None:
    """It may be back soon."""
    with Database("postgresql+psycopg://nobody@127.0.0.1:1/nowhere") as database:
        database.check()
        with pytest.raises(TransientError), database.reading():
            raise AssertionError("never reached")
