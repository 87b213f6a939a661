"""`fulfillment up`: every service as real processes on this machine, against a RabbitMQ and databases."""

import json
import secrets
import shlex
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import click

from order_service.cli.client.api import Api, Refused, Unreachable
from order_service.cli.stack import Missing, NotReady, Program, Say, Servers, Stack, holder, is_free, processes_of_all
from order_service.cli.system.may_break import Ground, broken_from
from order_service.cli.system.options import DATABASES
from order_service.cli.system.preparing import prepare, wait_for
from order_service.cli.system.provision import declare
from order_service.cli.system.proxied import BEHIND, behind_proxy
from shared.config import Misconfigured
from shared.service import services
from shared.terminal import say as tell

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


@click.command(short_help="Run all services as real processes on this machine.")
@click.option(
    "--broker",
    default="amqp://guest:guest@127.0.0.1:5672/%2F",
    show_default=True,
    envvar="BROKER_URL",
    help="A RabbitMQ, 3.10 or later.",
)
@click.option("--database", "template", default=DATABASES, show_default=True, help="Of each {service}.")
@click.option("--create-databases", is_flag=True, help="Create PostgreSQL databases that do not exist.")
@click.option("--servers", is_flag=True, help="Start a RabbitMQ and a PostgreSQL, too, from the system's packages.")
@click.option("--folder", type=click.Path(path_type=Path), default="data/servers", show_default=True, help="Theirs.")
@click.option("--rabbitmq", envvar="RABBITMQ_SERVER", help="The path of another rabbitmq-server for --servers.")
@click.option("--postgresql", envvar="POSTGRESQL_BIN", help="The folder of another PostgreSQL's programs.")
@click.option("--proxy", is_flag=True, help="Put an nginx before the APIs, as under compose.")
@click.option("--console-may-break", "may_break", is_flag=True, help="Break it from the console, and watch it heal.")
@click.option("--workers", type=PerService(0, 64), multiple=True, help="payment=3, or 2 for all.  [default: 1]")
@click.option("--ports", type=PerService(1, 65535), multiple=True, help="Such as order=8000.  [default: 8000 to 8003]")
@click.pass_context
def up(
    context: click.Context,
    broker: str,
    template: str,
    create_databases: bool,
    servers: bool,
    folder: Path,
    rabbitmq: str | None,
    postgresql: str | None,
    proxy: bool,
    may_break: bool,
    workers: tuple[dict[str, int], ...],
    ports: tuple[dict[str, int], ...],
) -> None:
    """Run all services here as real processes, against a RabbitMQ and databases that are there, or with --servers.

    Waits for servers that boot, and brings tables and queues up to date first. Starts again what dies. Ends in good
    order on Ctrl-C or SIGTERM; however it ends, what it started ends, too. Other settings come from the environment;
    without API_KEYS, new keys are made and shown. With API_KEYS, PARTICIPANTS_KEY must name one of an operator for the
    reconciliation to run.
    """
    given = [f"--{name}" for name in ("broker", "database") if is_given(context, name)]
    if servers and given:
        raise click.UsageError(f"--servers starts servers of its own: leave out {' and '.join(given)}")
    counts = merged(dict.fromkeys(services(), 1), workers)
    urls = {name: f"http://127.0.0.1:{port}" for name, port in merged(default_ports(), ports).items()}
    refuse_taken_ports(urls)
    stopping = Stopping()
    with ExitStack() as held:
        try:
            own = servers and held.enter_context(Servers(folder.absolute(), rabbitmq=rabbitmq, programs=postgresql))
            stack = held.enter_context(Stack(saying(counts)))
            if own:
                broker, template = started(own, stack)
            elif not broker.startswith(("amqp://", "amqps://")):
                raise Misconfigured("up: --broker must be an amqp:// address; `fulfillment demo` needs none")
            for name in services():
                prepare(name, services()[name].settings(database_url=of(template, name)), servers or create_databases)
            wait_for(broker)
            declare(broker)
            behind = held.enter_context(behind_proxy(stack, urls)) if proxy else urls
        except (Missing, NotReady) as error:
            raise click.ClickException(str(error)) from error
        keys, token = api_keys()
        ground = held.enter_context(broken_from(stack, own or None, behind, template, keys)) if may_break else None
        databases = {name: of(template, name) for name in services()}
        known, settings = ground.keys if ground else keys, BEHIND if proxy else {}
        asking = services()["order"].settings().participants_key
        asking = asking or (ground.tokens.operator if ground else keys.partition(":")[0])
        programs = list(processes_of_all(databases, broker, counts, behind, known, asking, **settings))
        sys.exit(run(stack, ground.told(programs) if ground else programs, urls, token, stopping, ground))


def is_given(context: click.Context, option: str) -> bool:
    name = {"database": "template"}.get(option, option)
    return context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def of(template: str, service: str) -> str:
    return template.replace("{service}", service)


class Stopping(threading.Event):
    """Is set by SIGTERM, SIGINT and SIGHUP; until `orderly`, while all is being prepared, they end the program."""

    def __init__(self) -> None:
        super().__init__()
        self.orderly = False
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(each, self._stop)

    def _stop(self, number: int, _frame: object) -> None:
        self.set()
        if not self.orderly:
            sys.exit(128 + number)


def saying(counts: Mapping[str, int]) -> Say:
    """Prints lines behind the names of those who say them."""
    width = max(len(f"{name}-worker-{count}") for name, count in counts.items())
    printing = threading.Lock()

    def say(name: str, line: str) -> None:
        with printing:
            tell(f"{name:{width}} | {line}")

    return say


def refuse_taken_ports(urls: Mapping[str, str]) -> None:
    """Raises ClickException, and says who holds which."""
    ports = {name: int(url.rpartition(":")[2]) for name, url in urls.items()}
    taken = [
        f"port {port} of {name} is taken by {holder(port)}"
        for name, port in ports.items()
        if not is_free(port, services()[name].settings().host)
    ]
    if taken:
        raise click.ClickException("\n".join([*taken, "other ports are chosen by --ports, such as order=9000"]))


def started(servers: Servers, stack: Stack) -> tuple[str, str]:
    """Start them; returns the broker's address, and the databases' by {service}. Raises NotReady."""
    click.echo(f"starts RabbitMQ and PostgreSQL; all that they keep is in {servers.folder}")
    servers.start(stack)
    for name, url in (("rabbitmq", servers.rabbitmq.url()), ("postgresql", servers.postgresql.plain_url())):
        click.echo(f"  {name:10} {url}")
    return servers.rabbitmq.url(), servers.postgresql.url("{service}")


def default_ports() -> dict[str, int]:
    """Where each service's API listens unless told otherwise."""
    return {name: service.port for name, service in services().items()}


def merged(default: Mapping[str, int], given: tuple[dict[str, int], ...]) -> dict[str, int]:
    return dict(default) | {name: number for each in given for name, number in each.items()}


def api_keys() -> tuple[str, str]:
    """What API_KEYS is for the services, and a customer's token to show; new ones when the environment has none."""
    if services()["order"].settings().api_keys:
        return "", "$FULFILLMENT_TOKEN"
    operator, customer = secrets.token_urlsafe(18), secrets.token_urlsafe(18)
    click.echo("new API keys, for as long as this runs:")
    click.echo(f"  operator:        export FULFILLMENT_TOKEN={operator}")
    click.echo(f"  customer alice:  export FULFILLMENT_TOKEN={customer}")
    return f"{operator}:operator,{customer}:customer:alice", customer


def run(
    stack: Stack,
    programs: list[Program],
    urls: Mapping[str, str],
    token: str,
    stopping: Stopping,
    ground: Ground | None = None,
) -> int:
    """Run until SIGTERM or SIGINT; the exit code is 0 when all ended in good order."""
    say = stack.say
    stopping.orderly = True
    stack.start(*programs)
    unready = dict(urls)
    while not stopping.wait(0.2):
        for name in [name for name, url in unready.items() if ready(url)]:
            del unready[name]
            if not unready:
                say("up", f"ready, {len(programs)} processes; place an order:")
                say("up", sample(urls["order"], token))
                if ground:
                    ground.begin()
                    say("up", f"break it at {urls['order']}/console/break with the key {ground.tokens.operator}")
    say("up", "stopping")
    if ground:
        ground.rest()
    well = stack.end()
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
