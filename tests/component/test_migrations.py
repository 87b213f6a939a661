"""What the migrations make is what the code declares, for every service on both databases."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from sqlalchemy import inspect

from shared.database import Database
from shared.http.serve import end
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
