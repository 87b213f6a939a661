"""`fulfillment`: the commands for people. Each lives where COMMANDS says."""

import sys
from importlib import import_module
from typing import Any

import click
from click.exceptions import NoSuchCommand

from order_service.cli.client.api import Refused, Unreachable
from order_service.cli.client.ending import Exit, complain
from order_service.cli.examples import with_examples
from shared.config import Misconfigured
from shared.terminal import write_what_can_be_written

SECTIONS = {
    "Try it": {
        "demo": "system.demo:demo",
        "play": "system.play:play",
    },
    "Orders": {
        "place": "client.orders:place",
        "list": "client.orders:list_orders",
        "show": "client.show:show",
        "explain": "client.explain:explain",
        "watch": "client.watch:watch",
        "cancel": "client.orders:cancel",
    },
    "For operators": {
        "approve": "client.orders:approve",
        "retry": "client.steps:retry",
        "reverse": "client.steps:reverse",
        "settle": "client.steps:settle",
        "deadline": "client.steps:deadline",
        "dead-letters": "client.dead_letters:dead_letters",
        "simulation": "client.simulation:simulation",
        "forget": "client.customers:forget",
    },
    "A whole installation": {
        "up": "system.up:up",
        "audit": "system.audit.command:command",
        "seal": "system.seal:seal",
        "doctor": "system.doctor:doctor",
        "republish": "system.republish:republish",
        "provision": "system.provision:provision",
        "definitions": "system.definitions:definitions",
        "asyncapi": "system.asyncapi:asyncapi",
        "key": "system.keys:key",
        "secrets": "system.secrets:secrets",
        "prove": "system.prove.command:prove",
        "bench": "system.bench:bench",
    },
}
COMMANDS = {name: where for section in SECTIONS.values() for name, where in section.items()}
AS_JSON = f"{__name__}.as_json"
HELP = {"help_option_names": ["-h", "--help"]}


class Commands(click.Group):
    """Imports a command when it is called, so that none waits for what another one needs."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name].partition(":")
        command: click.Command = getattr(import_module(f"{__name__}.{module}"), attribute)
        return with_examples(command, name)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        for title, section in SECTIONS.items():
            found = [(name, self.get_command(context, name)) for name in section]
            with formatter.section(title):
                formatter.write_dl([(name, each.get_short_help_str(70)) for name, each in found if each])

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(context, args)
        except NoSuchCommand as error:
            raise NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=context) from None

    def main(self, *args: Any, **kwargs: Any) -> Any:
        write_what_can_be_written()
        return super().main(*args, **kwargs)

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        context.meta[AS_JSON] = "--json" in args
        return super().parse_args(context, args)

    def invoke(self, context: click.Context) -> Any:
        """Run a command; what goes wrong in it is told in a line, or as JSON where that is asked for."""
        as_json = context.meta[AS_JSON]
        try:
            return super().invoke(context)
        except (Refused, Unreachable, click.ClickException) as failure:
            if isinstance(failure, click.UsageError) and not as_json:
                raise  # click adds how the command is used
            context.exit(complain(failure, as_json))
        except KeyboardInterrupt:
            context.exit(Exit.INTERRUPTED)


@click.command(
    cls=Commands,
    context_settings=HELP,
    epilog="Where the API is and who you are: FULFILLMENT_URL and FULFILLMENT_TOKEN, or --url and --token. "
    "`fulfillment COMMAND --help` says more of a command, docs/command-line.md of exit codes and --json.",
)
@click.version_option(package_name="order-fulfillment", message="%(version)s")
def fulfillment() -> None:
    """Order fulfillment with a front controller. Start with `fulfillment demo`; it needs nothing."""


def main() -> None:
    """Run the command line; the exit code tells what kind of thing went wrong: see `client.ending`."""
    try:
        fulfillment(prog_name="fulfillment")
    except Misconfigured as error:
        sys.exit(f"{error}")
