"""A PostgreSQL that can be reached and says nothing, as one that is frozen: nobody waits for it for long."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import make_url, text

from order_service import coalescing
from order_service.cli.stack.network import Conduct, Line, Network
from shared.database import Database, NoAnswer, Timeouts, TransientError, one_request, time_left
from shared.database.errors import SilentServer
from shared.database.resolving import addresses
from shared.database.timeouts import REQUEST
from tests.component.parcel_table import ADD, METADATA, parcel, weights
from tests.crowd import wait_for

IMPATIENT = Timeouts(connect=2.0, connection=0.5, lock=0.1, statement=0.2, answer=0.5)
SEVEN = text("SELECT 7")
SOON = 10.0  # seconds; without a limit of our own it would be for ever


@dataclass
class Relay:
    """A line to the server. What is sent while it is silent arrives when it speaks again, as at a frozen server."""

    network: Network
    line: Line

    @contextmanager
    def silent(self) -> Iterator[None]:
        self.network.set(self.line, Conduct.SILENT)
        try:
            yield
        finally:
            self.network.set(self.line, Conduct.WELL)


@pytest.fixture
def relay(postgres_url: str) -> Iterator[Relay]:
    url = make_url(postgres_url)
    with Network() as network:
        yield Relay(network, network.line(int(url.port or 5432), str(url.host)))


@pytest.fixture
def database(postgres_url: str, relay: Relay) -> Iterator[Database]:
    url = make_url(postgres_url).set(port=relay.line.port).render_as_string(hide_password=False)
    with Database(postgres_url) as owner, Database(url, timeouts=IMPATIENT, pool_size=2) as database:
        METADATA.create_all(owner.engine)
        yield database


def ask(database: Database, way: str) -> int:
    with getattr(database, way)() as connection:
        return int(connection.execute(SEVEN).scalar_one())


WAYS = ["transaction", "batch", "reading", "reading_batch"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
def test_nobody_waits_for_an_answer_for_ever(database: Database, relay: Relay, way: str, known: bool) -> None:
    """Over a connection that is there or a new one it is a transient error; when the server speaks again, it works."""
    if known:
        assert ask(database, way) == 7
    began = time.monotonic()
    with relay.silent(), pytest.raises(NoAnswer):
        ask(database, way)
    assert time.monotonic() - began < SOON
    until_it_works(database, way)


def until_it_works(database: Database, way: str) -> None:
    """Just after, all fail at once for a second, without waiting for a server that may still be silent."""
    with pytest.raises(TransientError, match="a moment ago"):
        ask(database, way)
    deadline = time.monotonic() + SOON
    while time.monotonic() < deadline:
        try:
            assert ask(database, way) == 7
        except TransientError:
            continue
        return
    raise AssertionError("it does not work again")


@pytest.mark.parametrize("way", ["transaction", "batch"])
def test_what_was_not_answered_is_not_done_halfway(database: Database, relay: Relay, way: str) -> None:
    """The server falls silent before the commit: all is undone there, and the thread works on."""
    with pytest.raises(NoAnswer), getattr(database, way)() as connection:  # noqa: PT012 - falls silent at the end
        connection.execute(ADD, parcel(1))
        connection.execute(SEVEN).scalar_one()
        silence = relay.silent()
        silence.__enter__()
    silence.__exit__(None, None, None)
    until_it_works(database, way)
    assert weights(database) in ([], [1])  # in doubt: the commit may have arrived when the relay spoke again


def test_a_crowd_is_told_at_once(database: Database, relay: Relay) -> None:
    """Few of many threads wait for the server; the others hear that it says nothing from those that found out."""
    with ThreadPoolExecutor(40) as crowd, relay.silent():
        began = time.monotonic()
        asking = [crowd.submit(ask, database, "reading") for _ in range(200)]
        for each in asking:
            with pytest.raises(TransientError):
                each.result(SOON)
        assert time.monotonic() - began < SOON


def test_a_timeout_of_the_server_comes_before_ours() -> None:
    """A server that works has time to say that a lock or a statement took too long."""
    for watchdog in (0.5, 10.0, 60.0, 3600.0):
        timeouts = Timeouts.for_worker(watchdog)
        assert max(timeouts.lock, timeouts.statement) < timeouts.answer < watchdog / 2
    with pytest.raises(ValueError, match="must be given time"):
        Timeouts(statement=10.0, answer=10.0)


def test_all_waits_of_a_request_share_one_deadline() -> None:
    """Whoever asks an API waits for two seconds, whatever is waited for one after the other; only who begins to wait
    for a new connection late waits for a little longer."""
    timeouts = Timeouts.for_requests()
    assert REQUEST == 2.0
    assert max(timeouts.connect, timeouts.answer, coalescing.TIMEOUT + timeouts.connection) <= REQUEST
    assert timeouts.connection + timeouts.connect <= 2.5
    with one_request():
        first, second = time_left(timeouts.answer), time_left(10.0)
        assert first == timeouts.answer
        assert second < REQUEST
    assert time_left(10.0) == 10.0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
def test_who_has_waited_before_is_told_at_once(database: Database, relay: Relay, way: str, known: bool) -> None:
    """Its time is over before the server's silence means anything, so nobody else is told that the server is silent."""
    if known:
        assert ask(database, way) == 7
    with relay.silent(), one_request(0.0):
        with pytest.raises(TransientError) as told:
            ask(database, way)
        assert not isinstance(told.value, NoAnswer)
    assert ask(database, way) == 7


@pytest.mark.parametrize("way", WAYS)
def test_what_is_heard_begins_the_deadline_anew(database: Database, way: str) -> None:
    """It bounds silence and not work: a request that is answered now and then may go on for longer."""
    with one_request(5.0):
        wait_for(lambda: time_left(10.0) < 4.99)
        assert ask(database, way) == 7
        assert time_left(10.0) == pytest.approx(5.0)


def test_a_name_that_nobody_resolves_is_not_waited_for() -> None:
    """As in a network whose server of names has gone: a silent server, and not a wait without a limit of our own."""
    asked, over = threading.Event(), threading.Event()

    def hang(host: str) -> list[Any]:
        asked.set()
        over.wait()
        return []

    with pytest.raises(SilentServer, match=r"nobody says where 'db\.shop' is"):
        addresses("db.shop", 0.05, hang)
    assert asked.is_set()
    over.set()


def test_a_server_is_found_by_its_name(postgres_url: str) -> None:
    """By each of its addresses, until one answers; what is no name of this world is a transient error."""
    with Database(make_url(postgres_url).set(host="localhost").render_as_string(hide_password=False)) as database:
        assert ask(database, "reading") == 7
    with Database("postgresql+psycopg://nobody@nowhere.invalid/none") as database, pytest.raises(TransientError):
        ask(database, "reading")
