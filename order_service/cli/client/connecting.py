"""What every command of a client shares: where the APIs are, who is calling, and how answers are printed."""

import functools
import json
import re
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar

import click
from rich.console import RenderableType

from order_service.cli.client.api import Api
from order_service.cli.client.rendering import console
from shared.terminal import harmless_document

INSIST = 30.0  # seconds for which a busy API is asked again
ADDRESSES = {
    "order": ("FULFILLMENT_URL", "http://127.0.0.1:8000"),
    "payment": ("FULFILLMENT_PAYMENT_URL", "http://127.0.0.1:8001"),
    "inventory": ("FULFILLMENT_INVENTORY_URL", "http://127.0.0.1:8002"),
    "shipping": ("FULFILLMENT_SHIPPING_URL", "http://127.0.0.1:8003"),
}
ORDER_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
EXAMPLE = "0192f3a0-1b2c-7d3e-8f40-5a6b7c8d9e0f"

Command = TypeVar("Command", bound=Callable[..., Any])

note = click.option("--note", help="Why; it is kept in the history.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else.")
_token = click.option("--token", envvar="FULFILLMENT_TOKEN", show_envvar=True, help="Your bearer token.")


class OrderId(click.ParamType[str]):
    """A whole order id; what is none is refused with what is wrong with it."""

    name = "order_id"

    def convert(self, value: str, param: click.Parameter | None, context: click.Context | None) -> str:
        text = value.strip().lower()
        if ORDER_ID.fullmatch(text):
            return text
        if re.fullmatch(r"[0-9a-f-]+", text) and len(text) != len(EXAMPLE):
            wrong = f"has {len(text)} characters, and an order id has {len(EXAMPLE)}"
        else:
            wrong = "is no order id"
        return self.fail(f"{value!r} {wrong}, such as {EXAMPLE}. `fulfillment list` shows yours.", param, context)


order_id = click.argument("order_id", type=OrderId())


def speaks(command: Command) -> Command:
    """Give a command an `api` to speak with: the Order service's."""
    variable, address = ADDRESSES["order"]

    @click.option("--url", default=address, show_default=True, envvar=variable, show_envvar=True, help="The API.")
    @_token
    @functools.wraps(command)
    def speaking(url: str, token: str | None, **others: Any) -> Any:
        with ExitStack() as open_apis:
            return command(api=opened(url, token, open_apis), **others)

    return speaking  # type: ignore[return-value]


def speaks_to(*names: str) -> Callable[[Command], Command]:
    """Give a command `apis`, by service: those that --service names, or else all of `names`."""

    def decorate(command: Command) -> Command:
        @click.option(
            "--service", "chosen", multiple=True, type=click.Choice(names), help="Only this one; may be repeated."
        )
        @_token
        @functools.wraps(command)
        def speaking(chosen: tuple[str, ...], token: str | None, **others: Any) -> Any:
            urls = {name: others.pop(f"{name}_url") for name in names}
            with ExitStack() as open_apis:
                apis = {name: opened(urls[name], token, open_apis) for name in chosen or names}
                return command(apis=apis, **others)

        with_urls: Any = speaking
        for name in reversed(names):
            variable, address = ADDRESSES[name]
            with_urls = click.option(f"--{name}-url", default=address, show_default=True, envvar=variable)(with_urls)
        return with_urls  # type: ignore[no-any-return]

    return decorate


def opened(url: str, token: str | None, open_apis: ExitStack) -> Api:
    """An API, to be closed with the others; raises UsageError for what can be no address or no token."""
    if not token:
        raise click.UsageError("no token: set FULFILLMENT_TOKEN, or give --token")
    try:
        return open_apis.enter_context(Api(url, token, insist=INSIST))
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def because(note: str | None) -> dict[str, str] | None:
    """The body that gives a reason; none without one."""
    return {"note": note} if note else None


def print_json(document: Any, indent: int | None = 2) -> None:
    """Print a document as JSON, in ASCII, so that every terminal can show it and none obeys it."""
    print(json.dumps(document, indent=indent), flush=True)


def present(document: Any, as_json: bool, draw: Callable[[Any], RenderableType]) -> None:
    """Print an API's document: as JSON, or as `draw` shows it. What strangers have written in it is harmless then."""
    if as_json:
        print_json(document)
    else:
        console().print(draw(harmless_document(document)))
