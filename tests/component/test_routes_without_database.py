"""Every route of every service while its database cannot be used: 503 with a time to come back, and no other 5xx."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from order_service.cli.stack.ports import free_port
from shared.http.serve import end
from tests.component.apps import application, bearer, prepare
from tests.component.test_authorization import BODIES, EVERYWHERE, SERVICES, UNKNOWN

PARTS = {"order_id": UNKNOWN, "step": "payment", "sku": "OAK-CHAIR", "customer_id": "alice", "file": "start.js"}


def away(folder: Path) -> str:
    """Nobody listens at the database's address."""
    return f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/nothing"


def not_migrated(folder: Path) -> str:
    """The database is there, and has no tables."""
    return f"sqlite:///{folder}/empty.db"


def no_database(folder: Path) -> str:
    """The file is something else."""
    (folder / "other.db").write_text("this is no database, whatever its name says. " * 100)
    return f"sqlite:///{folder}/other.db"


SITUATIONS = [away, not_migrated, no_database]


def routes(app: Flask) -> list[tuple[str, str]]:
    """Every method and rule."""
    return sorted(
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    )


def status(client: FlaskClient, method: str, rule: str) -> tuple[int, bool]:
    """The status, and whether a time to come back is told."""
    path = rule
    for name, text in PARTS.items():
        for kind in ("uuid:", "path:", "string:", ""):
            path = path.replace(f"<{kind}{name}>", text)
    headers = {**bearer("operator"), "Idempotency-Key": "first"}
    with client.open(path, method=method, headers=headers, json=BODIES.get(f"{method} {rule}")) as response:
        return response.status_code, "Retry-After" in response.headers


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("service", SERVICES)
def test_no_route_answers_another_5xx(service: str, situation: Callable[[Path], str], tmp_path: Path) -> None:
    """Whatever it needed the database for."""
    app = application(service, situation(tmp_path))
    client = app.test_client()
    found = {f"{method} {rule}": status(client, method, rule) for method, rule in routes(app)}
    end(app)
    assert found["GET /healthz"] == (200, False)
    assert found["GET /readyz"] == (503, True)
    assert {route: answer for route, answer in found.items() if answer[0] >= 500 and answer != (503, True)} == {}
    answered = {route for route, answer in found.items() if answer[0] != 503 and "/console" not in route}
    assert answered == EVERYWHERE.keys() - {"GET /readyz"}


@pytest.mark.parametrize("service", SERVICES)
def test_a_database_that_cannot_be_written_is_503(service: str, postgres_url: str) -> None:
    """As after a failover: what reads is answered, what would write is told to come back."""
    prepare(service, postgres_url)
    address, name = postgres_url.replace("+psycopg", "").rsplit("/", 1)
    with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    app = application(service, postgres_url)
    client = app.test_client()
    found = {f"{method} {rule}": status(client, method, rule) for method, rule in routes(app)}
    end(app)
    assert {route: answer for route, answer in found.items() if answer[0] >= 500 and answer != (503, True)} == {}
    writes = {"POST /orders", "POST /products", "POST /stock/<sku>/receipts", "PUT /simulation"} & found.keys()
    assert {found[route] for route in writes} <= {(503, True)}
