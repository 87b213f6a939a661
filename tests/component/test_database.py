"""The engines: what a pool hands out works, whatever the server did meanwhile."""

import pytest
from sqlalchemy import text

from shared import database as module
from shared.database import Database


def test_a_connection_that_died_while_idle_is_replaced(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart of the server the first request finds a fresh connection, not the corpse of an old one."""
    monkeypatch.setattr(module, "IDLE", 0.0)
    database, killer = Database(postgres_url), Database(postgres_url)
    with database.reading() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with killer.reading() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    with database.transaction() as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar_one() != pid
    database.dispose()
    killer.dispose()
