"""What the migrations make is what the code declares, for every service on both databases."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from alembic import command
from sqlalchemy import inspect

from shared.database import Database
from shared.http.serve import end
from shared.messaging.durability.inbox import seen
from shared.messaging.envelope import Envelope
from shared.migrate import config, migrate
from shared.service import Service, services
from tests.component.apps import application, bearer
from tests.component.bench import order_id


@pytest.fixture(params=["inventory", "order", "payment", "shipping"])
def service(request: pytest.FixtureRequest) -> Service:
    return services()[request.param]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.dispose()


def contents(service: Service, database: Database) -> dict[str, int]:
    """How many rows each table holds."""
    with database.reading() as connection:
        names = service.metadata.tables
        return {name: connection.exec_driver_sql(f"SELECT COUNT(*) FROM {name}").scalar_one() for name in names}


def test_migrations_make_the_declared_tables(service: Service, database: Database) -> None:
    """Tables, columns, types, keys and indexes are those of the metadata; going back leaves nothing behind."""
    migrate(service, database)
    with database.transaction() as connection:
        command.check(config(service.package, connection))
        assert set(inspect(connection).get_table_names()) == {*service.metadata.tables, "alembic_version"}
        command.downgrade(config(service.package, connection), "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]


BEFORE = {"inventory": "0001", "order": "0003", "payment": "0002", "shipping": "0002"}  # producers were named


def test_what_was_taken_in_before_producers_were_named_is_still_known(service: Service, database: Database) -> None:
    """A message worked before is a repeat afterwards, whoever of its producers sent it; letters are kept."""
    known = "01900000-0000-7000-8000-000000000001"
    blob = r"'\x313233'" if database.is_postgresql else "x'313233'"
    letter = (
        f"INSERT INTO dead_letters VALUES ('{known}', 'malformed', 'parked', 'x', 1, 'x', 'x', NULL, '2026-01-01', "
        f"NULL, 'x', {blob}, 0, '2026-01-01', NULL, NULL)"
    )
    with database.transaction() as connection:
        command.upgrade(config(service.package, connection), BEFORE[service.name])
        connection.exec_driver_sql(f"INSERT INTO inbox VALUES ('{known}', '2026-01-01', 1)")
        connection.exec_driver_sql(letter)
        command.upgrade(config(service.package, connection), "head")
    inbox, now = service.tables.inbox, datetime.now(UTC)
    for producer in {each.producer for each in service.handlers}:
        repeat = Envelope(
            id=known,
            type="",
            version=1,
            producer=producer,
            correlation_id="",
            causation_id=None,
            occurred_at=now,
            body=b"",
        )
        with database.batch() as connection:
            assert list(inbox.take(connection, [repeat], now)) == []
            assert inbox.count_again(connection, {seen(repeat): 1}) == {seen(repeat)}
    with database.reading() as connection:
        (row,) = service.tables.dead_letters.find(connection)
    assert (row["size"], bytes(row["body"])) == (3, b"123")


def test_migrating_at_once_or_again_changes_nothing(service: Service, database: Database) -> None:
    """Four at the same time on an empty database, and a fifth later, leave what one leaves."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: migrate(service, database), range(4)))
    once = contents(service, database)
    migrate(service, database)
    assert contents(service, database) == once
    assert service.name in ("payment", "shipping") or any(once.values())


READS = {
    "inventory": "/stock",
    "order": "/orders",
    "payment": f"/payments/{order_id(1)}",
    "shipping": f"/shipments/{order_id(1)}",
}


def test_an_api_that_was_started_before_its_tables_waits_for_them(service: Service, database: Database) -> None:
    """Until then it is not ready, and every answer is 503 with a time to come back; afterwards it works."""
    app = application(service.name, database.url)
    client = app.test_client()
    answers = [client.get(path, headers=bearer("operator")) for path in (READS[service.name], "/readyz")]
    assert [(each.status_code, each.headers["Retry-After"]) for each in answers] == [(503, "2"), (503, "2")]
    migrate(service, database)
    assert client.get(READS[service.name], headers=bearer("operator")).status_code in (200, 404)
    assert client.get("/readyz").status_code == 200
    end(app)
