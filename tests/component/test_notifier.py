"""Wake-up calls between processes: who only listens is in nobody's way, and hears every commit."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from sqlalchemy import Connection, text

from shared.database import Database, TransientError
from shared.messaging.notifier import Notifier


@contextmanager
def waking(database: Database) -> Iterator[Notifier]:
    """As a process has it, until it ends."""
    with database, closing(Notifier(database)) as notifier:
        yield notifier


def test_a_listener_hears_a_commit_of_another_process_and_holds_no_lock(new_database: Callable[[], str]) -> None:
    """While one process listens, another one writes at once, rings, and is heard; twice."""
    url = new_database()
    writing = Database(url)
    heard = threading.Event()
    with waking(Database(url)) as receiver, waking(writing) as sender:
        receiver.listen(heard.set)
        with writing.transaction() as connection:
            connection.execute(text("CREATE TABLE lamps (number INTEGER)"))
        for _ in range(2):
            heard.clear()
            with writing.transaction() as connection:
                connection.execute(text("INSERT INTO lamps VALUES (1)"))
            sender.notify()
            assert heard.wait(60)


def test_what_was_rung_before_somebody_could_hear_is_not_missed(new_database: Callable[[], str]) -> None:
    """Whoever begins to listen is called once it can hear: what was committed just before has been rung for nobody."""
    heard = threading.Event()
    with waking(Database(new_database())) as receiver:
        receiver.listen(heard.set)
        assert heard.wait(60)


class Busy(Database):
    """All its connections are in use at first."""

    refusals = 1

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        if self.refusals:
            self.refusals -= 1
            raise TransientError("all connections are in use")
        with super().reading() as connection:
            yield connection


def test_a_bell_without_a_connection_rings_later(new_postgresql_database: Callable[[], str]) -> None:
    """When no connection is to be had, neither who rings nor who listens gives up for good."""
    url = new_postgresql_database()
    listening, writing = Busy(url), Busy(url)
    heard = threading.Event()
    with waking(listening) as receiver, waking(writing) as sender:
        receiver.listen(heard.set)
        assert heard.wait(60)  # for nothing, after the failure
        for _ in range(100):  # until it listens
            heard.clear()
            sender.notify()
            if heard.wait(0.5):
                break
        assert heard.is_set()
        assert (listening.refusals, writing.refusals) == (0, 0)


def test_who_hears_nothing_for_long_says_so_once(postgres_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """While the database is away, the log does not fill with vain attempts to listen; its end is a line too."""
    caplog.set_level(logging.INFO)
    database, heard = Busy(postgres_url), threading.Event()
    database.refusals = 2
    with waking(database) as receiver:
        receiver.listen(heard.set)
        assert heard.wait(60)
        assert database.refusals == 0
        assert [each.levelno for each in caplog.records] == [logging.WARNING, logging.INFO]
