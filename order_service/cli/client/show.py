"""`fulfillment show`: one order, why it needs attention, what people said about it, and what can be done."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from order_service.cli.client.api import Api
from order_service.cli.client.connecting import as_json, order_id, present, print_json, speaks
from order_service.cli.client.rendering import Entry, Order, card, history_lines, is_final
from order_service.cli.client.times import Times


@click.command()
@order_id
@click.option("--history", "whole", is_flag=True, help="Also all that was heard, and what was done about it.")
@as_json
@speaks
def show(api: Api, order_id: str, whole: bool, as_json: bool) -> None:
    """Show one order, and what can be done about it."""
    order = api.get(f"/orders/{order_id}")
    if as_json:
        history = {"history": api.items(f"/orders/{order_id}/history")} if whole else {}
        print_json(order | history)
        return
    entries = api.items(f"/orders/{order_id}/history")
    actions = [] if is_final(order) else api.get(f"/orders/{order_id}/actions")["items"]
    document = {"order": order, "history": entries, "actions": actions}

    def draw(shown: Mapping[str, Any]) -> RenderableType:
        times, order = Times(api.now), shown["order"]
        parts = [card(order, times), *_notes(shown["history"], times), *_possible(order, shown["actions"])]
        if whole:
            lines = history_lines(shown["history"], times)
            parts += [Text(), Text(f"history, {times.zone}", "dim"), *map(Text, lines)]
        return Group(*parts)

    present(document, as_json, draw)


def _notes(entries: Sequence[Entry], times: Times) -> Iterator[Text]:
    """What people have said, with who and when."""
    noted = [each for each in entries if ":" in each["actor"] and each["detail"]]
    if noted:
        yield Text()
        yield Text(f"notes, {times.zone}", "dim")
    for each in noted:
        step = f" {each['step']}" if each["step"] else ""
        what = f"{each['event'].replace('_', ' ')}{step}"
        yield Text(f"{times(each['at'])}  {each['actor']}, {what}: {each['detail']}")


def _possible(order: Order, actions: Sequence[Mapping[str, Any]]) -> Iterator[Text]:
    """What can be done now: about the order, and about the steps that need a person."""
    troubled = {step["name"] for step in order["steps"] if step["problem"]}
    possible = [
        each
        for each in actions
        if each["allowed"] and (each["name"] not in ("retry", "settle", "deadline") or each["step"] in troubled)
    ]
    if possible:
        yield Text()
        yield Text("what can be done", "dim")
    for each in possible:
        step = f"{each['step']}: " if each["step"] else ""
        yield Text(f"{step}{each['label']}. {each['meaning']}")
        yield Text(f"  {each['command']}", no_wrap=True, overflow="ignore")
