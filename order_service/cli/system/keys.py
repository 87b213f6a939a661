"""`fulfillment key new`: API keys that cannot be guessed."""

from datetime import timedelta

import click

from shared.api_keys import Principal, Role, hashed_entry, new_token
from shared.clock import today


@click.group()
def key() -> None:
    """Make API keys that cannot be guessed."""


@key.command()
@click.option("--operator", metavar="NAME", help="A key of an operator of this name.")
@click.option("--customer", metavar="NAME", help="A key of a customer of this name.")
@click.option("--days", type=click.IntRange(1, 3650), help="For so many days.  [default: for good]")
def new(operator: str | None, customer: str | None, days: int | None) -> None:
    """Make a key: the token for its holder, and the entry for API_KEYS, which does not tell the token.

    Nothing is kept: put the entry into the file that API_KEYS_FILE names, or into API_KEYS.
    """
    if (operator is None) == (customer is None):
        raise click.UsageError("say --operator NAME or --customer NAME")
    name = operator or customer or ""
    try:
        principal = Principal.named(Role.CUSTOMER if operator is None else Role.OPERATOR, name)
    except ValueError as error:
        raise click.UsageError(f"{name!r} {error}") from None
    token = new_token()
    click.echo(f"token  {token}")
    click.echo(f"entry  {hashed_entry(token, principal, today() + timedelta(days=days) if days else None)}")
