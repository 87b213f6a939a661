"""Server-sent events: nothing is missed and nothing comes twice, one thread looks, and viewers are bounded."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Connection

from order_service.cli.client.api import Api
from order_service.feed import commits, end_of_feed, latest_moves, moves
from order_service.web.console.activity import Activity, placed_at
from order_service.web.events import AllEvents, OrderEvents
from order_service.web.streams import Frame, Stream, frame
from order_service.web.watch import Watch
from shared.http.serve import end, running
from tests.component.apps import ORDER, TOKENS, application, bearer
from tests.component.orders import NOON, Shop, wanted
from tests.crowd import wait_for


class Viewer:
    """An HTTP client of a stream. Iterating yields what arrives."""

    def __init__(self, url: str, path: str, who: str = "operator") -> None:
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
        self._connection.request("GET", path, headers=bearer(who))
        self._response = self._connection.getresponse()
        assert self._response.status == 200

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        self._response.close()
        self._connection.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        return self._response.read1(1 << 20)

    def read_to_the_end(self) -> None:
        """Raises IncompleteRead when the answer is broken off."""
        self._response.read()


class LongWay:
    """A topic with one piece of news, and with no end of what is before it."""

    order_id: str | None = None
    pace = 0.0
    has_backlog = True

    def frames(self, connection: Connection, after: int) -> list[Frame]:
        return [frame(100, "news")] if after == 99 else []


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    shop = Shop(database_url)
    yield shop
    shop.close()


@pytest.fixture
def watch(shop: Shop) -> Iterator[Watch]:
    watch = Watch(shop.database, most=2, streams=4, per_key=3)
    yield watch
    watch.close()


def events(chunks: Iterator[bytes], count: int) -> list[dict[str, Any]]:
    """The next events of a stream, each with its id where it has one."""
    found: list[dict[str, Any]] = []
    buffer = b""
    while len(found) < count:
        buffer += next(chunks)
        *whole, buffer = buffer.split(b"\n\n")
        for each in whole:
            lines = dict(line.split(": ", 1) for line in each.decode().splitlines() if line and line[0] != ":")
            if "data" in lines:
                found.append({**json.loads(lines["data"]), "id": lines.get("id")})
    return found


def follow(watch: Watch, order_id: str, after: int = 0, who: str = "alice") -> Stream:
    stream = watch.view(("events", order_id), lambda: OrderEvents(order_id), after, who)
    assert stream
    return stream


def test_an_orders_history_comes_whole_and_goes_on(shop: Shop, watch: Watch) -> None:
    """From the beginning, then as it happens; resumed, from behind what was read."""
    (order_id,) = shop.placed()
    chunks = iter(follow(watch, order_id))
    assert [each["seq"] for each in events(chunks, 1)] == [1]
    shop.fulfill(order_id)
    whole = [1, *(each["seq"] for each in events(chunks, len(shop.history(order_id)) - 1))]
    assert whole == [each["seq"] for each in shop.history(order_id)]
    resumed = events(iter(follow(watch, order_id, after=3)), len(whole) - 3)
    assert [each["seq"] for each in resumed] == whole[3:]
    assert [int(each["id"]) for each in resumed] == whole[3:]


def test_one_thread_looks_for_all_viewers(shop: Shop, watch: Watch) -> None:
    """However many view an order, its history is read once for all who are equally far."""
    (order_id,) = shop.placed()
    viewers = [iter(follow(watch, order_id, who=f"viewer-{number}")) for number in range(4)]
    for each in viewers:
        events(each, 1)
    with shop.statements() as sent:
        shop.fulfill(order_id)
        for each in viewers:
            events(each, len(shop.history(order_id)) - 1)
    assert len([each for each in threading.enumerate() if each.name == "watch" and each.is_alive()]) == 1
    looks = [each for each in sent if "FROM saga_history" in each and "saga_history.seq >" in each]
    assert len(looks) <= len(shop.history(order_id)) + 4  # 4 of this test's own, at most one for each change


def test_viewers_are_bounded_altogether_and_each(shop: Shop, watch: Watch) -> None:
    """Beyond the bound nobody is let in; when one has gone, another may come."""
    (order_id,) = shop.placed()
    mine = [follow(watch, order_id) for _ in range(3)]
    assert watch.view("x", AllEvents, 0, "alice") is None
    other = follow(watch, order_id, who="bob")
    assert watch.view("x", AllEvents, 0, "carol") is None
    watch.release(other)
    watch.release(other)
    follow(watch, order_id, who="carol")
    watch.release(mine[0])
    assert watch.viewers == 3


def test_streams_end_when_the_watch_is_closed(shop: Shop, watch: Watch) -> None:
    """Every viewer reads the end, and nobody new is let in."""
    (order_id,) = shop.placed()
    chunks = iter(follow(watch, order_id))
    events(chunks, 1)
    watch.close()
    assert list(chunks) == []
    assert watch.view("x", AllEvents, 0, "alice") is None


def test_the_feed_holds_every_line_once_in_the_order_of_commits(shop: Shop) -> None:
    """Read on from any position, while many write at the same time, nothing is missing and nothing comes twice."""
    stop, seen = threading.Event(), []

    def read() -> None:
        position, last = 0, False
        while not last:
            last = stop.is_set()
            with shop.database.reading() as connection:
                while found := commits(connection, position):
                    seen.extend((order_id, entry["seq"]) for commit in found for order_id, entry in commit.entries)
                    position = found[-1].position

    reader = threading.Thread(target=read)
    reader.start()
    with ThreadPoolExecutor(4) as pool:
        placed = list(pool.map(lambda number: shop.placed(wanted(f"key-{number}"))[0], range(40)))
    shop.fulfill(*placed[:20])
    stop.set()
    reader.join()
    expected = [(order_id, entry["seq"]) for order_id in placed for entry in shop.history(order_id)]
    assert sorted(seen) == sorted(expected)
    for order_id in placed:
        mine = [seq for each, seq in seen if each == order_id]
        assert mine == sorted(mine)


def test_a_statistic_reads_the_same_forwards_and_backwards(shop: Shop) -> None:
    """The lines of the last minutes, from the end back, are those that come behind position 0."""
    placed = shop.placed(*(wanted(f"key-{number}") for number in range(5)))
    shop.fulfill(*placed)
    with shop.database.reading() as connection:
        forwards = moves(connection, 0)
        backwards = list(latest_moves(connection, NOON, 1_000_000))
        few = list(latest_moves(connection, NOON, 3))
        assert end_of_feed(connection) >= forwards[-1].position
    assert sorted(forwards) == sorted(backwards)
    assert len(few) <= 3


def test_activity_counts_what_was_placed_and_ended(shop: Shop) -> None:
    """Whoever looks first reads back; whoever looks again reads on; both count each order once."""
    early = Activity(shop.clock)
    placed = shop.placed(*(wanted(f"key-{number}") for number in range(5)))
    with shop.database.reading() as connection:
        early.update(connection)
    shop.fulfill(*placed[:3])
    late = Activity(shop.clock)
    early._updated -= 1
    with shop.database.reading() as connection:
        early.update(connection)
        late.update(connection)
    for each in (early, late):
        assert each.since(NOON) == {"placed": 5, "ended": 3, "again": 0}
    assert early.series()["ended"] == late.series()["ended"]
    assert abs((placed_at(placed[0]) - NOON).total_seconds()) < 0.001


@pytest.mark.parametrize("given", ["x", "-1", "1.5", "9" * 19, "٣"])
def test_a_bad_last_event_id_is_refused(shop: Shop, given: str) -> None:
    """400, for one order and for all."""
    (order_id,) = shop.placed()
    app = application("order", shop.database.url)
    for path in (f"/orders/{order_id}/events", "/events"):
        headers = {**bearer("operator"), "Last-Event-ID": given}
        with app.test_client().get(path, headers=headers) as answer:
            assert answer.status_code == 400
    end(app)


def test_a_position_of_another_database_is_refused(shop: Shop) -> None:
    """A position that was never reached here is not waited for in silence."""
    app = application("order", shop.database.url)
    headers = {**bearer("operator"), "Last-Event-ID": "999999999999"}
    with app.test_client().get("/events", headers=headers) as answer:
        assert answer.status_code == 400
    end(app)


def test_too_many_streams_get_503_and_orders_are_placed_all_the_same(shop: Shop) -> None:
    """Altogether, and of one caller."""
    app = application("order", shop.database.url, STREAM_LIMIT="3", KEY_STREAMS="2")
    (order_id,) = shop.placed()
    path = f"/orders/{order_id}/events"
    open_ = [app.test_client().get(path, headers=bearer(who)) for who in ("operator",) * 3 + ("alice",) * 2]
    assert [each.status_code for each in open_] == [200, 200, 503, 200, 503]
    assert {each.headers.get("Retry-After") for each in open_} == {None, "5"}
    headers = {**bearer("alice"), "Idempotency-Key": "during"}
    assert app.test_client().post("/orders", json=ORDER, headers=headers).status_code == 202
    for each in open_:
        each.close()
    end(app)


def test_open_streams_hold_no_threads(shop: Shop) -> None:
    """With thirty times as many viewers as threads orders are placed, all see the news, and a stop ends all well."""
    app = application("order", shop.database.url)
    (order_id,) = shop.placed()
    watch: Watch = app.extensions["console"].watch
    with ExitStack() as stack:
        with running(app, threads=2) as url:
            viewers = [stack.enter_context(Viewer(url, f"/orders/{order_id}/events")) for _ in range(60)]
            with Api(url, TOKENS["alice"]) as api:
                assert len({api.place(ORDER)["id"] for _ in range(3)}) == 3
            for each in viewers:
                assert [event["seq"] for event in events(each, 1)] == [1]
            shop.fulfill(order_id)
            last = len(shop.history(order_id))
            for each in viewers:
                assert [event["seq"] for event in events(each, last - 1)] == list(range(2, last + 1))
            viewers.pop().leave()
            wait_for(lambda: watch.viewers == len(viewers))
        for each in viewers:
            each.read_to_the_end()


def test_whoever_is_far_behind_does_not_hold_up_the_others(shop: Shop, watch: Watch) -> None:
    """A viewer who is up to date is shown what is new while another one still catches up."""
    topic = LongWay()
    behind, ahead = (watch.view("news", lambda: topic, after, who) for after, who in ((0, "bob"), (99, "alice")))
    assert behind
    assert ahead
    chunks = iter(ahead)
    assert next(chunks).startswith(b"retry")
    assert next(chunks) == b"data: news\n\n"
