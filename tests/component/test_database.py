"""The engines: what a pool hands out works, whatever the server did meanwhile."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from shared.database import Database, Timeouts, TransientError
from tests.crowd import wait_for


def test_a_connection_that_died_while_idle_is_replaced(postgres_url: str) -> None:
    """After a restart of the server the first request finds a fresh connection, not the corpse of an old one."""
    with Database(postgres_url, idle=0.0) as database, Database(postgres_url) as killer:
        with database.reading() as connection:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with killer.reading() as connection:
            connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        with database.transaction() as connection:
            assert connection.execute(text("SELECT pg_backend_pid()")).scalar_one() != pid


def test_many_may_open_a_new_sqlite_database_at_once(tmp_path: Path) -> None:
    """Each process switches a new file to write-ahead logging; none fails because another one is doing so."""
    for number in range(20):
        databases = [Database(f"sqlite:///{tmp_path}/{number}.db") for _ in range(4)]
        together = threading.Barrier(len(databases))

        def opened(database: Database, together: threading.Barrier = together) -> str:
            together.wait(60)
            with database, database.transaction() as connection:
                return str(connection.execute(text("PRAGMA journal_mode")).scalar_one())

        with ThreadPoolExecutor(len(databases)) as threads:
            assert list(threads.map(opened, databases)) == ["wal"] * len(databases)


def test_a_thread_that_waits_in_vain_to_write_sqlite_is_told_so(tmp_path: Path) -> None:
    """It fails as it would if another process were writing; when that is done, the next one may."""
    with Database(f"sqlite:///{tmp_path}/turns.db", timeouts=Timeouts(lock=0.05)) as database:

        def write() -> int:
            with database.batch() as connection:
                return int(connection.execute(text("SELECT 7")).scalar_one())

        with ThreadPoolExecutor(1) as other:
            for transaction in (database.transaction, database.batch):
                with transaction(), pytest.raises(TransientError, match="locked"):
                    other.submit(write).result(10)
                assert other.submit(write).result(10) == write() == 7


def test_a_transaction_that_slept_too_long_fails_as_if_the_server_were_away(postgres_url: str) -> None:
    """The server ends the session of a stopped process; when that goes on, it is weather, and no message's fault."""
    with Database(postgres_url) as database, Database(postgres_url) as observer:
        gone = text("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = :pid)")

        def oversleep() -> None:
            with database.transaction() as connection, observer.reading() as looking:
                pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
                connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 1"))
                deadline = time.monotonic() + 30
                while not looking.execute(gone, {"pid": pid}).scalar_one():
                    assert time.monotonic() < deadline
                connection.execute(text("SELECT 1"))

        with pytest.raises(TransientError):
            oversleep()
        with database.transaction() as connection:
            assert connection.execute(text("SELECT 1")).scalar_one() == 1


@pytest.mark.parametrize("way", ["transaction", "batch", "reading", "reading_batch"])
def test_a_connection_that_is_in_use_while_all_are_closed_is_closed_when_it_comes_back(
    database_url: str, way: str
) -> None:
    """Its transaction ends as if nothing had happened; after that no connection is left, and none is kept any more."""
    opened: list[Any] = []
    used, disposed = threading.Event(), threading.Event()

    def use() -> int:
        with getattr(database, way)() as connection:
            found = connection.execute(text("SELECT 7")).scalar_one()
            used.set()
            assert disposed.wait(60)
        return int(found)

    with Database(database_url) as database, ThreadPoolExecutor(1) as other:
        event.listen(database.engine, "connect", lambda connection, _: opened.append(connection))
        event.listen(database.engine, "close", lambda connection, _: opened.remove(connection))
        with database.batch():
            assert len(opened) == 1
        answer = other.submit(use)
        assert used.wait(60)
        assert len(opened) == 2
        database.dispose()
        assert len(opened) == 1
        disposed.set()
        assert answer.result(10) == 7
        wait_for(lambda: not opened)
        with database.transaction():
            assert len(opened) == 1
        assert opened == []
