"""`fulfillment up`: every service as real processes on this machine, against a given RabbitMQ and databases."""

import json
import secrets
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Mapping

import click
from sqlalchemy import make_url, text
from sqlalchemy.engine import URL

from order_service.cli.client.api import Api, Refused, Unreachable
from order_service.cli.system.audit import DATABASES
from order_service.cli.system.provision import declare
from order_service.cli.system.supervising import Program, Supervisor
from shared.bootstrap import open_database
from shared.config import Misconfigured, Settings, environment
from shared.database import Database, DatabaseError
from shared.logs import first_line
from shared.migrate import migrate
from shared.service import services

PATIENCE = 15.0  # seconds to end in good order
SAMPLE = {
    "lines": [{"sku": "POPULAR-LAMP", "quantity": 1}],
    "payment_token": "tok_visa",
    "ship_to": {
        "name": "Ada Lovelace",
        "line1": "12 Analytical Row",
        "city": "Berlin",
        "postal_code": "10115",
        "country": "DE",
    },
}


class PerService(click.ParamType[dict[str, int]]):
    """`payment=3,order=2`, or one number for all."""

    name = "number by service"

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most = least, most

    def convert(self, value: str, param: click.Parameter | None, context: click.Context | None) -> dict[str, int]:
        found: dict[str, int] = {}
        for part in value.split(","):
            name, equals, number = part.strip().rpartition("=")
            if not number.isdecimal() or not self.least <= int(number) <= self.most:
                self.fail(f"{part!r} must be SERVICE=NUMBER with a number from {self.least} to {self.most}")
            if equals and name not in services():
                self.fail(f"{name!r} is no service; there are {', '.join(services())}")
            found |= dict.fromkeys([name] if equals else services(), int(number))
        return found


@click.command()
@click.option(
    "--broker",
    default="amqp://guest:guest@127.0.0.1:5672/%2F",
    show_default=True,
    envvar="BROKER_URL",
    help="A RabbitMQ, 3.10 or later.",
)
@click.option("--database", "template", default=DATABASES, show_default=True, help="Of each {service}.")
@click.option("--create-databases", is_flag=True, help="Create PostgreSQL databases that do not exist.")
@click.option("--workers", type=PerService(0, 64), multiple=True, help="payment=3, or 2 for all.  [default: 1]")
@click.option("--ports", type=PerService(1, 65535), multiple=True, help="Such as order=8000.  [default: 8000 to 8003]")
def up(
    broker: str,
    template: str,
    create_databases: bool,
    workers: tuple[dict[str, int], ...],
    ports: tuple[dict[str, int], ...],
) -> None:
    """Run all services here as real processes, against a RabbitMQ and databases that are there.

    Brings tables and queues up to date first. Starts again what dies. Ends in good order on Ctrl-C or SIGTERM. Other
    settings come from the environment; without API_KEYS, new keys are made and shown.
    """
    if not broker.startswith(("amqp://", "amqps://")):
        raise Misconfigured("up: --broker must be an amqp:// address; `fulfillment demo` needs none")
    counts = merged(dict.fromkeys(services(), 1), workers)
    addresses = {name: f"http://127.0.0.1:{port}" for name, port in merged(default_ports(), ports).items()}
    for name in services():
        url = template.replace("{service}", name)
        prepare(name, services()[name].settings(database_url=url), create_databases)
    declare(broker)
    keys, token = api_keys()
    programs = list(_programs(broker, template, counts, addresses, keys))
    sys.exit(run(programs, addresses, token))


def default_ports() -> dict[str, int]:
    """Where each service's API listens unless told otherwise."""
    return {name: service.port for name, service in services().items()}


def merged(default: Mapping[str, int], given: tuple[dict[str, int], ...]) -> dict[str, int]:
    return dict(default) | {name: number for each in given for name, number in each.items()}


def prepare(name: str, settings: Settings, create: bool) -> None:
    """Make the database where it may be made, and bring its tables up to date."""
    if create and settings.database_url.startswith("postgresql"):
        create_database(make_url(settings.database_url))
    try:
        with open_database(settings) as database:
            migrate(services()[name], database, seed=settings.seed == "demo")
    except DatabaseError as error:
        raise click.ClickException(f"the database of {name} cannot be prepared: {first_line(error)}") from error
    click.echo(f"the tables of {name} are up to date")


def create_database(url: URL) -> None:
    """Create a PostgreSQL database unless it exists; raises ClickException when that is not possible."""
    server = Database(url.set(database="postgres").render_as_string(hide_password=False))
    try:
        with server, server.reading() as connection:  # in no transaction, as PostgreSQL wants it
            known = text("SELECT 1 FROM pg_database WHERE datname = :name")
            if connection.execute(known, {"name": url.database}).first() is None:
                quoted = connection.dialect.identifier_preparer.quote_identifier(url.database or "")
                connection.execute(text(f"CREATE DATABASE {quoted}"))
                click.echo(f"created database {url.database}")
    except DatabaseError as error:
        raise click.ClickException(f"database {url.database} cannot be created: {error}") from error


def api_keys() -> tuple[str, str]:
    """What API_KEYS is for the services, and a customer's token to show; new ones when the environment has none."""
    if services()["order"].settings().api_keys:
        return "", "$FULFILLMENT_TOKEN"
    operator, customer = secrets.token_urlsafe(18), secrets.token_urlsafe(18)
    click.echo("new API keys, for as long as this runs:")
    click.echo(f"  operator:        export FULFILLMENT_TOKEN={operator}")
    click.echo(f"  customer alice:  export FULFILLMENT_TOKEN={customer}")
    return f"{operator}:operator,{customer}:customer:alice", customer


def _programs(
    broker: str, template: str, counts: Mapping[str, int], addresses: Mapping[str, str], keys: str
) -> Iterator[Program]:
    known = {f"{name.upper()}_URL": url for name, url in addresses.items() if name != "order"}
    for name, service in services().items():
        given = {"DATABASE_URL": template.replace("{service}", name), "PYTHONUNBUFFERED": "1"}
        web = given | known | {"PORT": addresses[name].rpartition(":")[2]} | ({"API_KEYS": keys} if keys else {})
        yield _program(f"{name}-web", service.package, "web", web)
        for number in range(1, counts[name] + 1):
            yield _program(f"{name}-worker-{number}", service.package, "worker", given | {"BROKER_URL": broker})


def _program(name: str, package: str, verb: str, given: Mapping[str, str]) -> Program:
    settings = {"LOG_FORMAT": "text", **environment(**given)}
    return Program(name=name, command=[sys.executable, "-m", package, verb], environment=settings)


def run(programs: list[Program], addresses: Mapping[str, str], token: str) -> int:
    """Run until SIGTERM or SIGINT; the exit code is 0 when all ended in good order."""
    width = max(len(each.name) for each in programs)
    printing, stop = threading.Lock(), threading.Event()

    def say(name: str, line: str) -> None:
        with printing:
            click.echo(f"{name:{width}} | {line}")

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda number, frame: stop.set())
    supervisor = Supervisor(programs, say)
    supervisor.start()
    unready = dict(addresses)
    while not stop.wait(0.2):
        for name in [name for name, url in unready.items() if ready(url)]:
            del unready[name]
            if not unready:
                say("up", f"ready, {len(programs)} processes; place an order:")
                say("up", sample(addresses["order"], token))
    say("up", "stopping")
    well = supervisor.stop(PATIENCE)
    say("up", "stopped")
    return 0 if well else 1


def ready(url: str) -> bool:
    try:
        with Api(url, "") as api:
            api.get("/readyz")
    except (Refused, Unreachable):
        return False
    return True


def sample(url: str, token: str) -> str:
    """A line for a shell that places an order."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": secrets.token_hex(4)}
    words = [f"-H {shlex.quote(f'{name}: {text}')}" for name, text in headers.items()]
    return (
        f'curl {url}/orders -H "Authorization: Bearer {token}" {" ".join(words)} -d {shlex.quote(json.dumps(SAMPLE))}'
    )
