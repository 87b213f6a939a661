"""`fulfillment forget`: an operator has a customer forgotten."""

from urllib.parse import quote

import click

from order_service.cli.client.api import Api
from order_service.cli.client.connecting import as_json, print_json, speaks


@click.command(short_help="Forget a person, at every service.")
@click.argument("customer")
@as_json
@speaks
def forget(api: Api, customer: str, as_json: bool) -> None:
    """Remove CUSTOMER's addresses and payment tokens, at every service. For operators.

    Orders, amounts and history stay. While orders are under way nothing is removed. May be repeated: it goes on where
    it was broken off. Take the customer's API key away before.
    """
    orders, finished = 0, False
    while not finished:
        done = api.post(f"/customers/{quote(customer, safe='')}/forget")
        orders, finished = orders + done["orders"], done["finished"]
    if as_json:
        print_json({"customer_id": customer, "orders": orders})
    else:
        click.echo(f"{customer} is forgotten: address and payment token were removed from {orders:,} orders")
