"""What every command of a client shares: where the API is, who is calling, and one clear line when that fails."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from order_service.cli.client.api import Api, Refused, Unreachable

INSIST = 30.0  # seconds for which a busy API is asked again
Command = TypeVar("Command", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="Print what the API answers.")


def speaks(command: Command) -> Command:
    """Give a command an `api` to speak with, and let it end with one clear line when that fails."""

    @click.option(
        "--url", default="http://127.0.0.1:8000", show_default=True, envvar="FULFILLMENT_URL", help="The API."
    )
    @click.option("--token", envvar="FULFILLMENT_TOKEN", show_envvar=True, help="Your bearer token.")
    @functools.wraps(command)
    def speaking(url: str, token: str | None, **others: Any) -> Any:
        if not token:
            raise click.UsageError("no token: set FULFILLMENT_TOKEN, or give --token")
        try:
            with Api(url, token, insist=INSIST) as api:
                return command(api=api, **others)
        except (Refused, Unreachable, ValueError) as error:
            raise click.ClickException(str(error)) from error

    return speaking  # type: ignore[return-value]
