"""`fulfillment doctor`: each thing that can be wrong is found, named, and has a remedy."""

import json
import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from sqlalchemy import make_url, text

from order_service.cli import fulfillment
from order_service.cli.system.checkup import Finding, examine, examine_broker, examine_database, old_or_new
from payment_service.service import SERVICE
from shared.bootstrap import system_topology
from shared.clock import machine_now
from shared.config import Settings
from shared.database import Database
from shared.messaging.brokers.rabbitmq import RabbitMQ
from shared.migrate import migrate
from shared.service import Service, services

CLOSED = "127.0.0.1:9"  # the port of "discard", on which nobody listens


def settings(url: str, **environ: str) -> Settings:
    return SERVICE.settings(environ={"DATABASE_URL": url, **environ})


def migrated(url: str) -> str:
    with Database(url) as database:
        migrate(SERVICE, database)
    return url


def wrong(found: list[Finding]) -> dict[str, str]:
    """What is wrong, by check; whatever is wrong has a remedy."""
    assert all((each.wrong is None) == (each.mend is None) for each in found)
    return {each.check: each.wrong for each in found if each.wrong}


def test_a_database_that_is_well_has_nothing_wrong(database_url: str) -> None:
    """Reached, new enough, on time, migrated, readable."""
    found = list(examine_database(SERVICE, settings(migrated(database_url)), machine_now))
    assert [each.check for each in found] == ["database", "version", "clock", "migrations", "permissions"]
    assert wrong(found) == {}


def test_a_server_that_does_not_answer() -> None:
    """Its address is named, without the password."""
    url = f"postgresql+psycopg://shop:hunter2@{CLOSED}/shop"
    found = list(examine_database(SERVICE, settings(url), machine_now))
    assert CLOSED in wrong(found)["database"]
    assert "hunter2" not in str(found)


def test_tables_that_are_missing(database_url: str) -> None:
    """The command that makes them is named."""
    with Database(database_url) as database, database.reading():
        pass
    found = list(examine_database(SERVICE, settings(database_url), machine_now))
    assert "revision none" in wrong(found)["migrations"]
    assert found[-1].mend == "python -m payment_service migrate"


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    """It is not made by looking for it."""
    found = list(examine_database(SERVICE, settings(f"sqlite:///{tmp_path}/none/payment.db"), machine_now))
    assert "there is no such file" in wrong(found)["database"]
    assert list(tmp_path.iterdir()) == []


def test_tables_of_a_newer_program(database_url: str) -> None:
    """They are not to be migrated down: the program is to be replaced."""
    with Database(migrated(database_url)) as database, database.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    found = list(examine_database(SERVICE, settings(database_url), machine_now))
    assert "9999, which this program does not know" in wrong(found)["migrations"]
    assert "newer program" in str(found[-1].mend)


def test_clocks_that_differ(database_url: str) -> None:
    """By more than two seconds, either way."""
    for seconds, said in ((-90, r"is \+(89|90)\."), (90, r"is -(89|90)\."), (1, r"^$")):
        now = machine_now() + timedelta(seconds=seconds)
        found = wrong(list(examine_database(SERVICE, settings(migrated(database_url)), lambda now=now: now)))
        assert re.search(said, found.get("clock", ""))


def test_tables_that_the_user_may_not_read(postgres_url: str) -> None:
    """They are named, and how a role is granted what it needs."""
    migrated(postgres_url)
    with Database(postgres_url) as database, database.transaction() as connection:
        connection.execute(text("CREATE ROLE narrow_doctor LOGIN"))
        connection.execute(text("GRANT SELECT ON alembic_version, outbox TO narrow_doctor"))
    try:
        url = make_url(postgres_url).set(username="narrow_doctor").render_as_string(hide_password=False)
        found = list(examine_database(SERVICE, settings(url), machine_now))
        assert "payments" in wrong(found)["permissions"]
        assert "outbox" not in wrong(found)["permissions"]
    finally:
        with Database(postgres_url) as database, database.transaction() as connection:
            connection.execute(text("DROP OWNED BY narrow_doctor"))
            connection.execute(text("DROP ROLE narrow_doctor"))


@pytest.mark.parametrize(("version", "well"), [("3.9.27", False), ("3.10.0", True), ("4.1.1", True), ("13", True)])
def test_versions_that_are_too_old(version: str, well: bool) -> None:
    """Compared by their numbers, not as texts."""
    found = old_or_new("broker", "RabbitMQ", version, (3, 10))
    assert (found.wrong is None) == well
    assert wrong([found]) == ({} if well else {"version": f"RabbitMQ {version} is too old"})


def test_a_broker_that_does_not_answer() -> None:
    """Its address is named, without the password."""
    found = list(examine_broker(f"amqp://guest:hunter2@{CLOSED}/"))
    assert CLOSED in wrong(found)["broker"]
    assert "hunter2" not in str(found)


def test_a_broker_that_does_not_know_the_user(broker_url: str) -> None:
    """That is said as such, and is not taken for a broker that is away."""
    parts = urlsplit(broker_url)
    found = list(examine_broker(parts._replace(netloc=f"guest:wrong@{parts.hostname}:{parts.port}").geturl()))
    assert "refuses this user" in wrong(found)["broker"]
    assert "user and password" in str(found[-1].mend)


def test_queues_that_are_missing(broker_url: str) -> None:
    """Of each service; provisioned, nothing is wrong."""
    found = list(examine_broker(broker_url))
    assert [each.about for each in found if each.wrong] == list(services())
    assert {each.mend for each in found if each.wrong} == {"fulfillment provision"}
    RabbitMQ(broker_url).provision(system_topology(), settle=0)
    assert wrong(list(examine_broker(broker_url))) == {}


def test_a_variable_that_cannot_be_read(tmp_path: Path) -> None:
    """It is named; the other services are looked at all the same."""

    def settings_of(service: Service) -> Settings:
        environ = {"BATCH_LIMIT": "many"} if service.name == "payment" else {}
        return service.settings(environ={"DATABASE_URL": f"sqlite:///{tmp_path}/{service.name}.db", **environ})

    found = list(examine(settings_of))
    assert "BATCH_LIMIT must be a whole number" in wrong(found)["configuration"]
    assert {each.about for each in found if each.check == "database"} == set(services()) - {"payment"}


def test_the_command_exits_by_what_it_finds(tmp_path: Path) -> None:
    """0 when all is well, 1 otherwise, in words and as JSON."""
    template = f"sqlite:///{tmp_path}/{{service}}.db"
    sick = CliRunner().invoke(fulfillment, ["doctor", "--database", template, "--broker", "embedded://", "--json"])
    assert sick.exit_code == 1
    assert {each["check"] for each in json.loads(sick.stdout) if each["wrong"]} == {"database"}
    for service in services().values():
        with Database(template.replace("{service}", service.name)) as database:
            migrate(service, database)
    well = CliRunner().invoke(fulfillment, ["doctor", "--database", template, "--broker", "embedded://"])
    assert (well.exit_code, well.stdout.splitlines()[-1]) == (0, "all is well")
