"""`fulfillment`: the commands for people. Each lives where COMMANDS says."""

import sys
from importlib import import_module

import click

from shared.config import Misconfigured

COMMANDS = {  # imported when called, so that none waits for what another one needs
    "demo": "system.demo:demo",
    "play": "system.play:play",
    "up": "system.up:up",
    "provision": "system.provision:provision",
    "key": "system.keys:key",
    "definitions": "system.definitions:definitions",
    "place": "client.orders:place",
    "list": "client.orders:list_orders",
    "show": "client.orders:show",
    "watch": "client.watch:watch",
    "cancel": "client.orders:cancel",
    "approve": "client.orders:approve",
    "books": "system.audit:books",
    "republish": "system.republish:republish",
    "bench": "system.bench:bench",
}


class Commands(click.Group):
    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name].partition(":")
        command: click.Command = getattr(import_module(f"{__name__}.{module}"), attribute)
        return command


@click.command(cls=Commands)
def fulfillment() -> None:
    """Order fulfillment with a front controller. Start with `fulfillment demo`; it needs nothing."""


def main() -> None:
    """Run the command line; the exit code is 0 when all is well, 1 when it is not, 2 for wrong usage."""
    try:
        fulfillment(prog_name="fulfillment")
    except Misconfigured as error:
        sys.exit(f"{error}")
