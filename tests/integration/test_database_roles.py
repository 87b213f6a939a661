"""What each role of a database may do, and may not: made by the set-up's own script, granted by `migrate`."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege, ReadOnlySqlTransaction

from order_service.cli.stack import PostgreSQL
from shared.bootstrap import build_worker, pace_from, system_topology
from shared.config import load
from shared.database import Database
from shared.http.serve import end
from shared.messaging.brokers.embedded import Embedded
from shared.service import services
from tests.component.apps import ORDER, application, bearer

SCRIPT = Path(__file__).parents[2] / "deploy" / "postgres" / "databases.sh"
SERVICES = tuple(services())
PASSWORDS = {"auditor": "reads"} | {f"{n}_{role}": "secret" for n in SERVICES for role in ("owner", "service", "web")}


@pytest.fixture(scope="module")
def server(postgresql_server: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server whose databases and roles were made by the script, and whose tables were migrated by their owners."""
    host, port = "127.0.0.1", str(postgresql_server.port)
    secrets = tmp_path_factory.mktemp("secrets")
    here = {**os.environ, "PGHOST": host, "PGPORT": port, "POSTGRES_USER": "postgres", "SECRETS": str(secrets)}
    for role, password in PASSWORDS.items():
        (secrets / f"{role}_password").write_text(f"{password}\n")
    for unusable in ("", "auditor-demo"):  # makes nothing
        (secrets / "auditor_password").write_text(unusable)
        refused = subprocess.run(["bash", str(SCRIPT)], env=here, check=False, capture_output=True, text=True)
        assert refused.returncode == 1
        assert f"{secrets}/auditor_password is" in refused.stderr
    (secrets / "auditor_password").write_text("reads")
    subprocess.run(["bash", str(SCRIPT)], env=here, check=True)
    for name in SERVICES:
        url = f"postgresql+psycopg://{name}_owner:secret@{host}:{port}/{name}_service"
        roles = f"application={name}_service,web={name}_web,auditor=auditor"
        environ = {**os.environ, "DATABASE_URL": url, "DATABASE_ROLES": roles}
        for _ in range(2):  # repeating it changes nothing
            subprocess.run([sys.executable, "-m", f"{name}_service", "migrate"], env=environ, check=True)
    yield f"{host}:{port}"
    with psycopg.connect(postgresql_server.plain_url(), autocommit=True) as connection:
        for name in SERVICES:
            connection.execute(f"DROP DATABASE {name}_service WITH (FORCE)")
            for role in ("owner", "service", "web"):
                connection.execute(f"DROP ROLE {name}_{role}")
        connection.execute("DROP ROLE auditor")


def url_of(server: str, name: str, role: str) -> str:
    return f"postgresql+psycopg://{name}_{role}:secret@{server}/{name}_service"


def test_orders_end_with_no_more_than_what_is_granted(server: str) -> None:
    """With the application's roles an order is placed, worked and fulfilled, and the auditor finds nothing amiss."""
    broker, stop = Embedded(system_topology()), threading.Event()
    with ExitStack() as stack:
        for name in SERVICES:
            settings = load(service=name, environ={"DATABASE_URL": url_of(server, name, "service")})
            database = stack.enter_context(Database(settings.database_url))
            worker = build_worker(services()[name], settings, database, broker, pace_from(settings))
            thread = threading.Thread(target=worker.run, args=(stop,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(worker.wake)
            stack.callback(stop.set)
        app = application("order", url_of(server, "order", "service"))
        stack.callback(end, app)
        client = app.test_client()
        placed = client.post("/orders", json=ORDER, headers=bearer("alice") | {"Idempotency-Key": "one"})
        assert placed.status_code == 202, placed.json
        until = time.monotonic() + 60
        order = placed.json
        while order["status"] != "fulfilled" and time.monotonic() < until:
            path = f"/orders/{order['id']}?wait=5&version={order['version']}"
            found = client.get(path, headers=bearer("alice"))
            order = found.json if found.status_code == 200 else order
        assert order["status"] == "fulfilled"
    template = f"postgresql+psycopg://auditor:reads@{server}/{{service}}_service"
    audit = [sys.executable, "-m", "order_service.cli", "audit", "--database", template, "--wait", "20"]
    done = subprocess.run(audit, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


FORBIDDEN = [
    *(("order", "service", f"{act} saga_history") for act in ("DELETE FROM", "TRUNCATE", "DROP TABLE")),
    ("order", "service", "UPDATE saga_history SET actor = 'nobody'"),
    ("order", "service", "DELETE FROM orders"),
    ("order", "service", "CREATE TABLE mine ()"),
    ("order", "service", "ALTER TABLE orders DROP COLUMN total"),
    ("payment", "service", "UPDATE payment_movements SET amount = 1"),
    ("payment", "service", "DELETE FROM payment_movements"),
    ("payment", "service", "DELETE FROM payments"),
    ("inventory", "service", "UPDATE stock_movements SET quantity = 1"),
    ("payment", "web", "UPDATE payments SET captured = 0"),
    ("payment", "web", "INSERT INTO outbox SELECT * FROM outbox"),
    ("payment", "web", "DELETE FROM dead_letters"),
    ("inventory", "web", "UPDATE reservations SET status = 'released'"),
    ("inventory", "web", "DELETE FROM stock_movements"),
    ("shipping", "web", "UPDATE shipments SET status = 'dispatched'"),
]


@pytest.mark.parametrize(("name", "role", "statement"), FORBIDDEN)
def test_a_role_may_not(server: str, name: str, role: str, statement: str) -> None:
    """No process can rewrite history or a ledger, and a participant's API moves no money, goods or parcel."""
    with (
        psycopg.connect(url_of(server, name, role).replace("+psycopg", "")) as connection,
        pytest.raises(InsufficientPrivilege),
    ):
        connection.execute(statement)


@pytest.mark.parametrize("name", SERVICES)
def test_an_auditor_only_reads(server: str, name: str) -> None:
    """The auditor sees every table and changes none."""
    with psycopg.connect(f"postgresql://auditor:reads@{server}/{name}_service", autocommit=True) as connection:
        for table in services()[name].metadata.tables:
            connection.execute(f"SELECT count(*) FROM {table}")
            with pytest.raises((InsufficientPrivilege, ReadOnlySqlTransaction)):
                connection.execute(f"DELETE FROM {table}")


@pytest.mark.parametrize("stranger", SERVICES)
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_enters_no_other_database(server: str, name: str, stranger: str) -> None:
    """Only a service's own roles, and the auditor, may connect to its database."""
    for role in ("owner", "service", "web"):
        address = f"postgresql://{stranger}_{role}:secret@{server}/{name}_service"
        if stranger == name:
            psycopg.connect(address).close()
        else:
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                psycopg.connect(address)


def test_what_operators_set_can_be_written(server: str) -> None:
    """With the narrow role of a participant's API, operators set the simulation and receive goods."""
    calls = {
        "payment": ("PUT", "/simulation", {"latency_ms": 0}),
        "shipping": ("PUT", "/simulation", {"latency_ms": 0}),
        "inventory": ("POST", "/stock/POPULAR-LAMP/receipts", {"quantity": 3}),
    }
    for name, (method, path, body) in calls.items():
        app = application(name, url_of(server, name, "web"))
        answer = app.test_client().open(
            path, method=method, json=body, headers=bearer("operator") | {"Idempotency-Key": "narrow"}
        )
        end(app)
        assert answer.status_code in (200, 201), answer.json


def test_each_role_has_so_many_connections(server: str) -> None:
    """None can use up the server's: the auditor's, and of each service its owner's, its workers' and its API's."""
    with psycopg.connect(f"postgresql://auditor:reads@{server}/order_service") as connection:
        found = connection.execute("SELECT rolname, rolconnlimit FROM pg_roles WHERE rolcanlogin").fetchall()
    limits = {str(name): int(limit) for name, limit in found if name != "postgres"}
    assert {name: 0 < limits[name] <= 60 for name in PASSWORDS} == dict.fromkeys(PASSWORDS, True)
