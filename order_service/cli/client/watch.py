"""`fulfillment watch`: follows one order, live, until it has ended."""

import time
from typing import Any

import click
from rich.live import Live

from order_service.cli.client.api import Api
from order_service.cli.client.connecting import speaks
from order_service.cli.client.rendering import card, console, is_final, line

WAIT = 20  # seconds that one call waits for news
AT_ONCE = 0.25


@click.command()
@click.argument("order_id")
@speaks
def watch(api: Api, order_id: str) -> None:
    """Follow an order until it is fulfilled or cancelled."""
    follow(api, api.get(f"/orders/{order_id}"))


def follow(api: Api, order: dict[str, Any]) -> dict[str, Any]:
    """Show an order as it moves: a card that changes on a terminal, a line for each change elsewhere."""
    screen = console()
    if not screen.is_terminal:
        screen.print(line(order), soft_wrap=True)
        while not is_final(order):
            order = news(api, order)
            screen.print(f"{order['updated_at'][11:23]}  {line(order)}", soft_wrap=True)
        return order
    with Live(card(order), console=screen, auto_refresh=False) as live:
        while not is_final(order):
            order = news(api, order)
            live.update(card(order), refresh=True)
    return order


def news(api: Api, order: dict[str, Any], *, wait: int = WAIT, until: float = float("inf")) -> dict[str, Any]:
    """The order as soon as it differs, or as it is when the monotonic clock says `until`; asks again and again."""
    while True:
        asked = time.monotonic()
        newer: dict[str, Any] = api.get(f"/orders/{order['id']}", wait=wait, version=order["version"])
        if newer["version"] != order["version"] or time.monotonic() > until:
            return newer
        if time.monotonic() - asked < AT_ONCE:  # too many are waiting, so we are not let wait
            time.sleep(AT_ONCE)
