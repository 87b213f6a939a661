"""`fulfillment watch`: follows one order, live, until it has ended."""

import time
from collections.abc import Callable
from typing import Any

import click
from rich.live import Live

from order_service.cli.client.api import Api
from order_service.cli.client.connecting import as_json, order_id, print_json, speaks
from order_service.cli.client.rendering import card, console, is_final, line
from order_service.cli.client.times import Times
from shared.terminal import harmless_document, say

WAIT = 20  # seconds that one call waits for news
AT_ONCE = 0.25


@click.command()
@order_id
@as_json
@speaks
def watch(api: Api, order_id: str, as_json: bool) -> None:
    """Follow an order until it is fulfilled or cancelled."""
    follow(api, api.get(f"/orders/{order_id}"), as_json)


def follow(api: Api, order: dict[str, Any], as_json: bool = False) -> None:
    """Show an order as it moves: a card that changes on a terminal, a line for each change elsewhere.

    As JSON it is one document a line.
    """
    screen = console()
    if as_json:
        _each_version(api, order, lambda order: print_json(order, indent=None))
    elif not screen.is_terminal:
        _each_version(
            api, order, lambda order: say(f"{Times(api.now)(order['updated_at'], exact=True)}  {line(order)}")
        )
    else:
        with Live(console=screen, auto_refresh=False) as live:
            _each_version(
                api, order, lambda order: live.update(card(harmless_document(order), Times(api.now)), refresh=True)
            )


def _each_version(api: Api, order: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
    tell(order)
    while not is_final(order):
        order = news(api, order)
        tell(order)


def news(api: Api, order: dict[str, Any], *, wait: int = WAIT, until: float = float("inf")) -> dict[str, Any]:
    """The order as soon as it differs, or as it is when the monotonic clock says `until`; asks again and again."""
    while True:
        asked = time.monotonic()
        newer: dict[str, Any] = api.get(f"/orders/{order['id']}", wait=wait, version=order["version"])
        if newer["version"] != order["version"] or time.monotonic() > until:
            return newer
        if time.monotonic() - asked < AT_ONCE:  # too many are waiting, so we are not let wait
            time.sleep(AT_ONCE)
