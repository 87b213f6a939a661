"""`fulfillment place | list | show | cancel | approve`: what customers and operators do, over the Order API."""

import json
from typing import Any

import click

from order_service.cli.client.api import Api
from order_service.cli.client.connecting import as_json, speaks
from order_service.cli.client.rendering import card, console, history_line, table
from order_service.cli.client.watch import follow
from shared.currencies import money


def show_order(order: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(order, indent=2))
    else:
        console().print(card(order))


@click.command()
@click.option(
    "--sku", "skus", multiple=True, default=["POPULAR-LAMP"], show_default=True, help="What; may be repeated."
)
@click.option(
    "--quantity", "quantities", multiple=True, type=int, help="How many, for each --sku in turn.  [default: 1]"
)
@click.option("--card", default="tok_visa", show_default=True, help="The payment token.")
@click.option("--name", default="Ada Lovelace", show_default=True)
@click.option("--line1", default="12 Analytical Row", show_default=True)
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
    wanted = [*quantities, *[1] * (len(skus) - len(quantities))]
    lines = [{"sku": sku, "quantity": quantity} for sku, quantity in zip(skus, wanted, strict=True)]
    order = api.place({"lines": lines, "payment_token": card, "ship_to": ship_to}, key)
    if as_json:
        show_order(order, as_json)
    else:
        click.echo(f"placed {order['id']}: {money(order['total'], order['currency'])}, {order['status']}")
    if watching:
        follow(api, order)
    elif not as_json:
        click.echo(f"follow it with: fulfillment watch {order['id']}")


@click.command("list")
@click.option("--status", help="Only those in this status.")
@click.option("--needs-attention", is_flag=True, default=None, help="Only those that a person must look at.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 200))
@click.option("--cursor", help="Go on where the last page ended.")
@as_json
@speaks
def list_orders(api: Api, as_json: bool, needs_attention: bool | None, **query: Any) -> None:
    """List orders, the newest first: a customer's own, an operator's all."""
    page = api.get("/orders", **query, needs_attention="true" if needs_attention else None)
    if as_json:
        click.echo(json.dumps(page, indent=2))
        return
    if not page["items"]:
        click.echo("no orders")
        return
    console().print(table(page["items"]))
    if page["next"]:
        click.echo(f"more with: --cursor {page['next']}")


@click.command()
@click.argument("order_id")
@click.option("--history", is_flag=True, help="Also all that was heard, and what was done about it.")
@as_json
@speaks
def show(api: Api, order_id: str, history: bool, as_json: bool) -> None:
    """Show one order."""
    show_order(api.get(f"/orders/{order_id}"), as_json)
    if history:
        entries = api.get(f"/orders/{order_id}/history", limit=200)["items"]
        if as_json:
            click.echo(json.dumps(entries, indent=2))
            return
        click.echo()
        for each in entries:
            click.echo(history_line(each))


@click.command()
@click.argument("order_id")
@as_json
@speaks
def cancel(api: Api, order_id: str, as_json: bool) -> None:
    """Cancel an order; possible until its money is asked for."""
    show_order(api.post(f"/orders/{order_id}/cancel"), as_json)


@click.command()
@click.argument("order_id")
@click.option("--refuse", is_flag=True, help="Refuse instead.")
@click.option("--note", help="For the history.")
@as_json
@speaks
def approve(api: Api, order_id: str, refuse: bool, note: str | None, as_json: bool) -> None:
    """Approve an order that waits for it, or refuse it. For operators."""
    decision = {"decision": "refuse" if refuse else "approve", **({"note": note} if note else {})}
    show_order(api.post(f"/orders/{order_id}/approval", decision), as_json)
