"""`fulfillment explain`: where an order is, and why, in plain words."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from order_service.cli.client.api import Api
from order_service.cli.client.connecting import as_json, order_id, present, speaks
from order_service.cli.client.times import Times


@click.command()
@order_id
@as_json
@speaks
def explain(api: Api, order_id: str, as_json: bool) -> None:
    """Say in plain words where an order stands, why, what comes next, and what can be done.

    For an operator the other services are asked, too; those that do not answer are named.
    """
    explanation = api.get(f"/orders/{order_id}/explanation")
    present(explanation, as_json, lambda shown: Group(*_parts(shown, Times(api.now))))


def _parts(shown: Mapping[str, Any], times: Times) -> Iterator[RenderableType]:
    yield Text(f"order {shown['order_id']}", "dim")
    yield Text(shown["summary"], "bold")
    yield from _section(f"what happened, {times.zone}", [(times(each["at"]), each["text"]) for each in shown["story"]])
    waits = [(f"since {times(each['since'])}", each["text"]) for each in shown["waits_for"]]
    yield from _section("what it waits for", waits)
    coming = [(f"at {times(each['at'])}" if each["at"] else "then", each["text"]) for each in shown["next"]]
    yield from _section("what comes next by itself", coming)
    yield from _section("what a person should know", [("-", each) for each in shown["findings"]])
    yield from _section("who could not be asked", [("-", each) for each in shown["not_asked"]])
    if shown["possible"]:
        yield from (Text(), Text("what you can do", "dim"))
    for each in shown["possible"]:
        yield Text(each["text"])
        yield Text(f"  {each['command']}", no_wrap=True, overflow="ignore")


def _section(title: str, rows: Sequence[tuple[str, str]]) -> Iterator[RenderableType]:
    if rows:
        table = Table.grid(padding=(0, 2))
        for moment, text in rows:
            table.add_row(Text(moment, no_wrap=True), Text(text))
        yield from (Text(), Text(title, "dim"), table)
