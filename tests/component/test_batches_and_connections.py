"""A batch and the connection that it goes over: one that is lost is weather, and the next batch finds another."""

# ruff: noqa: PT012 - the block is the transaction that fails

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event, text, update

from shared.database import Database, Duplicate, Transaction, TransientError
from tests.component.parcel_table import ADD, METADATA, WEIGHTS, parcel, parcels, weights


def test_a_connection_that_is_lost_is_weather(postgres_url: str) -> None:
    """The batch fails as if the server were away, nothing is kept, and the next batch has another connection."""
    with Database(postgres_url) as database, Database(postgres_url) as killer:
        METADATA.create_all(database.engine)
        whoami = text("SELECT pg_backend_pid()")

        def killed(connection: Transaction) -> None:
            pid = connection.execute(whoami).scalar_one()
            with killer.reading() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

        with pytest.raises(TransientError), database.batch() as connection:
            connection.execute(ADD, parcel(1))
            killed(connection)
            connection.execute(WEIGHTS).all()
        with pytest.raises(TransientError), database.batch() as connection:
            connection.execute(ADD, parcel(1))
            killed(connection)  # found out by the commit
        with pytest.raises(TransientError), database.batch() as connection:
            killed(connection)
            raise ValueError("which does not matter any more")
        with database.batch() as connection:
            connection.execute(ADD, parcel(2))
        assert weights(database) == [2]


@pytest.mark.parametrize("autocommit", [False, True])
def test_a_connection_that_breaks_off_without_a_word_is_weather(postgres_url: str, autocommit: bool) -> None:
    """As when the server's machine dies: libpq then has no code for what happened, but it is no message's fault."""
    with Database(postgres_url) as database:
        opened: list[Any] = []
        event.listen(database.engine, "connect", lambda driver, _record: opened.append(driver))
        METADATA.create_all(database.engine)
        with database.batch() as connection:
            connection.execute(ADD, parcel(1))
        with pytest.raises(TransientError), database.batch(autocommit=autocommit) as connection:
            connection.execute(ADD, parcel(2))
            for driver in opened:
                with socket.socket(fileno=os.dup(driver.fileno())) as line:
                    line.shutdown(socket.SHUT_RDWR)
        assert weights(database) == [1]


def test_a_connection_that_died_while_idle_is_replaced_for_a_batch(postgres_url: str) -> None:
    """After a restart of the server the first batch finds a fresh connection."""
    with Database(postgres_url, idle=0.0) as database, Database(postgres_url) as killer:
        whoami = text("SELECT pg_backend_pid()")
        with database.batch() as connection:
            pid = connection.execute(whoami).scalar_one()
        with killer.reading() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        with database.batch() as connection:
            assert connection.execute(whoami).scalar_one() != pid


def test_the_same_connection_serves_sqlalchemy_afterwards(postgres_url: str) -> None:
    """It leaves pipeline mode with the batch, also when that failed, and goes back to the pool with its thread."""
    whoami = text("SELECT pg_backend_pid()")

    def work() -> Any:
        with pytest.raises(Duplicate), database.batch() as connection:
            connection.execute(ADD, [parcel(1), parcel(1)])
        with database.batch() as connection:
            connection.execute(update(parcels).values(grams=5))
            return connection.execute(whoami).scalar_one()

    with Database(postgres_url) as database:
        METADATA.create_all(database.engine)
        with ThreadPoolExecutor(1) as other:
            pid = other.submit(work).result(10)
        with database.transaction() as connection:
            connection.execute(ADD, parcel(1))
            assert connection.execute(whoami).scalar_one() == pid
        assert weights(database) == [1]
