"""A migration that widens columns while everything runs: statements are prepared anew, and nothing is lost."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import count, cycle
from typing import Any

import pytest
from sqlalchemy import String, text

from order_service.group_commit import GroupCommit
from order_service.placing import Placed
from shared.clock import SystemClock
from shared.database import Database, StalePlan
from shared.http.serve import end
from shared.messaging.envelope import Message
from shared.service import services
from tests.component.apps import application, bearer, sign_in
from tests.component.bench import Bench, order_id, persist
from tests.component.orders import Shop, wanted
from tests.component.parcel_table import ADD, METADATA, parcel, parcels
from tests.component.participants import INVENTORY, PAYMENT, SHIPPING, Participant, Room

WIDEN, NARROW = "ALTER TABLE {0} ALTER COLUMN {1} TYPE text", "ALTER TABLE {0} ALTER COLUMN {1} TYPE varchar({2})"


def columns_of(bench: Bench) -> list[tuple[str, str, int]]:
    """Table, name and length of every column of text."""
    columns = [
        (table.name, column.name, column.type.length)
        for table in bench.service.metadata.sorted_tables
        for column in table.c
        if isinstance(column.type, String) and column.type.length
    ]
    assert len(columns) > 5
    return columns


def alter_all(bench: Bench, form: str) -> None:
    with Database(bench.database.url) as owner, owner.transaction() as connection:
        for column in columns_of(bench):
            connection.exec_driver_sql(form.format(*column))


def altering(bench: Bench) -> Iterator[str]:
    """Statements that widen each column of text of each table, and narrow it again, for ever."""
    columns = columns_of(bench)
    while True:
        for form in (WIDEN, NARROW):
            for column in columns:
                yield form.format(*column)


@contextmanager
def altered(bench: Bench) -> Iterator[Callable[[], int]]:
    """Its tables are altered all the time, one column after the other; the block is told how often by now."""
    done, stop = 0, threading.Event()

    def alter() -> None:
        nonlocal done
        with Database(bench.database.url) as owner:
            for statement in altering(bench):
                if stop.is_set():
                    return
                with owner.transaction() as connection:
                    connection.exec_driver_sql(statement)
                done += 1
                stop.wait(0.01)

    with ThreadPoolExecutor(1) as other:
        altering_them = other.submit(alter)
        try:
            yield lambda: done
        finally:
            stop.set()
            altering_them.result(30)


def test_a_statement_that_was_prepared_before_is_prepared_anew(postgres_url: str) -> None:
    """The batch that meets it is undone, and works when it is worked again; so do single reads."""
    look = text("SELECT note FROM parcels")  # as a view would see it
    with Database(postgres_url) as database:
        METADATA.create_all(database.engine)

        def write(number: int) -> list[Any]:
            with database.batch() as batch:
                batch.execute(ADD, parcel(number))
                return list(batch.execute(look).all())

        def read() -> int:
            with database.reading() as connection:
                return len(connection.execute(look).all())

        write(1)
        for _ in range(10):  # psycopg prepares what comes again and again
            assert read() == 1
        with Database(postgres_url) as owner, owner.transaction() as connection:
            connection.exec_driver_sql("ALTER TABLE parcels ALTER COLUMN note TYPE text")
        for again in (lambda: write(2), read):
            with pytest.raises(StalePlan):
                again()
        assert len(write(2)) == read() == 2
        assert parcels.c.note.type.length == 50


@pytest.mark.parametrize("participant", [PAYMENT, INVENTORY, SHIPPING], ids=lambda each: each.name)
def test_participants_lose_nothing_while_their_tables_are_altered(
    participant: Participant, new_postgresql_database: Callable[[], str]
) -> None:
    """Every request is answered once, none is put aside, and what was asked of the outside is in the rows."""
    participant = replace(participant, stock=participant.stock * 100)
    with closing(Room(participant, new_postgresql_database())) as room, altered(room) as alterations:
        facts: list[Any] = []
        batches = number = 0
        while batches < 30 or alterations() < 60:
            requests: Sequence[Message] = [participant.request(order_id(number + each)) for each in range(5)]
            facts += persist(room.consumer, room.deliveries(requests))
            number, batches = number + 5, batches + 1
        assert room.buried() == []
        assert len(facts) == number
        assert {each.type for each in facts} == {participant.success.type}
        assert room.rows("SELECT COUNT(*) FROM inbox") == [(number,)]


CALLS = {
    "order": [
        ("GET", "/orders/{order}", None),
        ("GET", "/orders", None),
        ("POST", "/orders/{order}/cancel", None),
        ("PATCH", "/orders/{dear}/steps/payment", {"deadline": "2030-01-01T00:00:00Z"}),
        ("POST", "/products", {"sku": "OAK-CHAIR", "name": "Oak chair", "unit_price": 8900}),
        ("GET", "/console/orders/{order}", None),
    ],
    "payment": [("GET", "/simulation", None), ("PUT", "/simulation", {"latency_ms": 1})],
    "inventory": [("GET", "/stock", None), ("POST", "/stock/OAK-CHAIR/receipts", {"quantity": 1})],
    "shipping": [("PUT", "/simulation", {"latency_ms": 1})],
}


@pytest.mark.parametrize("service", CALLS)
def test_whoever_asks_notices_nothing_of_a_migration(service: str, postgres_url: str) -> None:
    """What can be done at once is not put off with 503 because statements were prepared before the tables changed."""
    with closing(Bench(services()[service], postgres_url, seed=True)) as bench:
        named = dict.fromkeys(("order", "dear"), "")
        if service == "order":
            with closing(Shop(postgres_url)) as shop:
                named = dict(zip(named, shop.placed(wanted("1"), wanted("2", LINEN_SOFA=1)), strict=True))
        app, numbers = application(service, postgres_url), count()
        client = app.test_client()
        if service == "order":
            sign_in(app, client, "operator")

        def ask(method: str, path: str, body: Any) -> int:
            headers = {**bearer("operator"), "Idempotency-Key": f"{next(numbers)}"}
            with client.open(path.format(**named), method=method, headers=headers, json=body) as answer:
                return answer.status_code

        for call, form in zip(CALLS[service], cycle((WIDEN, NARROW)), strict=False):
            before = [ask(*call) for _ in range(7)][-1]  # psycopg prepares what comes again and again
            assert 200 <= before < 300, call
            alter_all(bench, form)
            assert ask(*call) == before, call
        end(app)


def test_orders_are_placed_while_their_tables_are_altered(new_postgresql_database: Callable[[], str]) -> None:
    """A customer notices nothing: the group of orders is committed again."""
    with closing(Shop(new_postgresql_database())) as shop, altered(shop) as alterations:
        counter = GroupCommit(shop.database, shop.terms(), SystemClock(), shop.notifier)
        placed = 0
        while placed < 50 or alterations() < 60:
            assert isinstance(counter.submit(wanted(f"order {placed}")), Placed)
            placed += 1
        counter.close()
        assert shop.rows("SELECT COUNT(*) FROM orders") == [(placed,)]
