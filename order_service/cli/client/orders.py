"""`fulfillment place | list | cancel | approve`: what customers and operators do, over the Order API."""

from typing import Any

import click
from rich.console import Group
from rich.text import Text

from order_service.cli.client.api import Api
from order_service.cli.client.connecting import as_json, because, note, order_id, present, print_json, speaks
from order_service.cli.client.rendering import card, console, listing
from order_service.cli.client.times import Times
from order_service.cli.client.watch import follow
from shared.currencies import money
from shared.terminal import say


@click.command()
@click.option(
    "--sku", "skus", multiple=True, default=["POPULAR-LAMP"], show_default=True, help="What; may be repeated."
)
@click.option(
    "--quantity", "quantities", multiple=True, type=int, help="How many, for each --sku in turn.  [default: 1]"
)
@click.option("--card", default="tok_visa", show_default=True, help="The payment token.")
@click.option("--name", default="Ada Lovelace", show_default=True, help="Who gets the parcel.")
@click.option("--line1", default="12 Analytical Row", show_default=True, help="Street and number.")
@click.option("--city", default="Berlin", show_default=True)
@click.option("--postal-code", default="10115", show_default=True)
@click.option("--country", default="DE", show_default=True, help="ISO 3166, two letters.")
@click.option("--key", help="The idempotency key: sent again, it is the same order.  [default: a new one]")
@click.option("--watch", "watching", is_flag=True, help="Stay until the order has ended.")
@as_json
@speaks
def place(
    api: Api,
    skus: tuple[str, ...],
    quantities: tuple[int, ...],
    card: str,
    key: str | None,
    watching: bool,
    as_json: bool,
    **ship_to: str,
) -> None:
    """Place an order; without options, one lamp to Berlin."""
    if len(quantities) > len(skus):
        raise click.UsageError("there are more quantities than skus")
    if key is not None and not (key.isascii() and key.isprintable()):
        raise click.UsageError("--key may have printable ASCII characters only")
    wanted = [*quantities, *[1] * (len(skus) - len(quantities))]
    lines = [{"sku": sku, "quantity": quantity} for sku, quantity in zip(skus, wanted, strict=True)]
    order = api.place({"lines": lines, "payment_token": card, "ship_to": ship_to}, key)
    if as_json and not watching:
        print_json(order)
    elif not as_json:
        say(f"placed {order['id']}: {money(order['total'], order['currency'])}, {order['status']}")
    if watching:
        follow(api, order, as_json)
    elif not as_json:
        say(f"follow it with: fulfillment watch {order['id']}")


@click.command("list")
@click.option("--status", help="Only those in this status, such as awaiting_approval.")
@click.option("--needs-attention", is_flag=True, default=None, help="Only those that a person must look at.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 200))
@click.option("--cursor", help="Go on where the last page ended.")
@as_json
@speaks
def list_orders(api: Api, as_json: bool, needs_attention: bool | None, **query: Any) -> None:
    """List orders, the newest first: a customer's own, an operator's all."""
    page = api.get("/orders", **query, needs_attention="true" if needs_attention else None)
    screen = console()

    def draw(shown: dict[str, Any]) -> Group:
        if not shown["items"]:
            return Group(Text("no orders"))
        more = [Text(f"more with: --cursor {shown['next']}", overflow="fold")] if shown["next"] else []
        return Group(listing(shown["items"], Times(api.now), screen), *more)

    present(page, as_json, draw)


@click.command()
@order_id
@note
@as_json
@speaks
def cancel(api: Api, order_id: str, note: str | None, as_json: bool) -> None:
    """Cancel an order; possible until its money is asked for."""
    present_order(api, api.post(f"/orders/{order_id}/cancel", because(note)), as_json)


@click.command()
@order_id
@click.option("--refuse", is_flag=True, help="Refuse instead.")
@note
@as_json
@speaks
def approve(api: Api, order_id: str, refuse: bool, note: str | None, as_json: bool) -> None:
    """Approve an order that waits for it, or refuse it."""
    decision = {"decision": "refuse" if refuse else "approve", **(because(note) or {})}
    present_order(api, api.post(f"/orders/{order_id}/approval", decision), as_json)


def present_order(api: Api, order: dict[str, Any], as_json: bool) -> None:
    """Print an order as it stands now."""
    present(order, as_json, lambda shown: card(shown, Times(api.now)))
