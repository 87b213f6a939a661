"""`fulfillment simulation`: how the simulated card network and carriers behave; break them, and mend them."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import click
from rich.console import RenderableType
from rich.text import Text

from order_service.cli.client.api import Api
from order_service.cli.client.connecting import as_json, present, speaks_to
from order_service.cli.client.rendering import grid

SERVICES = ("payment", "shipping")
PATH = "/simulation"


@click.group()
def simulation() -> None:
    """Break the simulated card network and carriers, and mend them."""


@simulation.command()
@as_json
@speaks_to(*SERVICES)
def show(apis: Mapping[str, Api], as_json: bool) -> None:
    """How does the outside behave?"""
    present({name: api.get(PATH) for name, api in apis.items()}, as_json, _table)


@simulation.command("set")
@click.option("--party", help="Only this one, such as northwind-parcels; with --service.")
@click.option("--outage/--no-outage", default=None, help="It cannot be reached.")
@click.option("--latency", type=click.IntRange(0), help="Milliseconds until each answer.")
@click.option("--error-rate", type=click.FloatRange(0, 1), help="The share of answers that are lost.")
@click.option("--timeout", type=click.IntRange(1), help="Milliseconds; later answers are lost.")
@as_json
@speaks_to(*SERVICES)
def change(
    apis: Mapping[str, Api],
    party: str | None,
    outage: bool | None,
    latency: int | None,
    error_rate: float | None,
    timeout: int | None,
    as_json: bool,
) -> None:
    """Make it slow, unreliable or silent, from the next batch on; what is not named is as configured."""
    named = {"outage": outage, "latency_ms": latency, "error_rate": error_rate, "timeout_ms": timeout}
    conduct = {name: value for name, value in named.items() if value is not None}
    if not conduct:
        raise click.UsageError("say what to change; `fulfillment simulation restore` is for all as configured")
    if party and len(apis) > 1:
        raise click.UsageError("--party is one of a service: say --service, too")
    _put(apis, f"{PATH}?party={quote(party, safe='')}" if party else PATH, conduct, as_json)


@simulation.command()
@as_json
@speaks_to(*SERVICES)
def restore(apis: Mapping[str, Api], as_json: bool) -> None:
    """Have everybody behave as the services are configured."""
    _put(apis, PATH, {}, as_json)


def _put(apis: Mapping[str, Api], path: str, conduct: Mapping[str, Any], as_json: bool) -> None:
    present({name: api.put(path, conduct) for name, api in apis.items()}, as_json, _table)


def _table(shown: Mapping[str, Mapping[str, Any]]) -> RenderableType:
    table = grid("service", "party", "reachable", "latency", "answers lost", "timeout")
    for service, parties in shown.items():
        for party, conduct in parties.items():
            reachable = Text("no", "bold red") if conduct["outage"] else Text("yes")
            lost = f"{conduct['error_rate']:.0%}"
            figures = (f"{conduct['latency_ms']} ms", lost, f"{conduct['timeout_ms']} ms")
            table.add_row(Text(service), Text(party), reachable, *map(Text, figures))
    return table
