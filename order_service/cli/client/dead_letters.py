"""`fulfillment dead-letters`: what could not be worked, at every service, and what is to become of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from order_service.cli.client.api import Api, Refused, Unreachable
from order_service.cli.client.connecting import as_json, present, speaks_to
from order_service.cli.client.ending import complain
from order_service.cli.client.rendering import grid
from order_service.cli.client.times import Times

SERVICES = ("order", "payment", "inventory", "shipping")
STATES = ("parked", "replaying", "replayed", "discarded", "suspect")
PATH = "/dead-letters"

Letter = Mapping[str, Any]
message_ids = click.argument("message_ids", nargs=-1, required=True, metavar="MESSAGE_ID...")


@click.group("dead-letters")
def dead_letters() -> None:
    """List, show, replay or discard what no service could work."""


@dead_letters.command("list")
@click.option("--state", default="parked", show_default=True, type=click.Choice(STATES))
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 200), help="Of each service.")
@as_json
@speaks_to(*SERVICES)
def list_letters(apis: Mapping[str, Api], state: str, limit: int, as_json: bool) -> None:
    """One line for each letter, the oldest of each service first."""
    answers = of_each(apis, lambda api: api.get(PATH, state=state, limit=limit)["items"], as_json)
    times = Times(next(iter(apis.values())).now)
    letters = [{"service": name, **letter} for name, items in answers.found.items() for letter in items]

    def draw(shown: Mapping[str, Any]) -> RenderableType:
        if not shown["items"]:
            return Text(f"no letters are {state}")
        table = grid("service", "message", f"received, {times.zone}", "type", "reason")
        for each in shown["items"]:
            cells = (each["service"], each["message_id"], times(each["received_at"]), each["type"], each["reason"])
            table.add_row(*(Text(cell, overflow="fold") for cell in cells))
        return table

    present({"items": letters}, as_json, draw)
    answers.end()


@dead_letters.command()
@click.argument("message_id")
@as_json
@speaks_to(*SERVICES)
def show(apis: Mapping[str, Api], message_id: str, as_json: bool) -> None:
    """One letter, whole, wherever it is."""
    answers = of_each(apis, lambda api: api.get(PATH, message_id=message_id)["items"], as_json)
    letters = [{"service": name, **letter} for name, items in answers.found.items() for letter in items]
    if not letters:
        answers.end()
        raise Refused(404, {"title": "Not Found", "detail": f"There is no dead letter {message_id}."})
    present(letters if len(letters) > 1 else letters[0], as_json, lambda shown: Group(*map(_whole, _several(shown))))


@dead_letters.command()
@click.argument("message_ids", nargs=-1, metavar="[MESSAGE_ID]...")
@click.option("--all", "everything", is_flag=True, help="All that are parked.")
@as_json
@speaks_to(*SERVICES)
def replay(apis: Mapping[str, Api], message_ids: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Have letters worked again by their service's workers, each under a new message id."""
    if bool(message_ids) == everything:
        raise click.UsageError("name the message ids, or say --all")
    _act(apis, "replay", None if everything else message_ids, as_json, "will be worked again")


@dead_letters.command()
@message_ids
@as_json
@speaks_to(*SERVICES)
def discard(apis: Mapping[str, Api], message_ids: tuple[str, ...], as_json: bool) -> None:
    """Give letters up: they are kept, and the books tell of them no more."""
    _act(apis, "discard", message_ids, as_json, "is given up")


def _act(apis: Mapping[str, Api], verb: str, ids: Sequence[str] | None, as_json: bool, done: str) -> None:
    """Ask every service: each takes the letters that it has, and leaves out the others."""
    body = {"message_ids": None if ids is None else list(ids)}
    answers = of_each(apis, lambda api: api.post(f"{PATH}/{verb}", body)["message_ids"], as_json)
    present(answers.found, as_json, lambda shown: Group(*(Text(each) for each in _did(shown, done))))
    answers.end()
    missing = set(ids or ()) - {each for found in answers.found.values() for each in found}
    if missing:
        raise Refused(404, {"title": "Not Found", "detail": f"Parked nowhere: {', '.join(sorted(missing))}."})


def _did(found: Mapping[str, Sequence[str]], done: str) -> list[str]:
    lines = [f"{name}: {message_id} {done}" for name, ids in found.items() for message_id in ids]
    return lines or ["no letters were parked"]


def _several(shown: Any) -> Sequence[Letter]:
    return shown if isinstance(shown, list) else [shown]


def _whole(letter: Letter) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in letter.items():
        table.add_row(Text(name, "dim"), Text(str(value), overflow="fold"))
    return table


class OfEach:
    """What each service answered, and how those failed that did not."""

    def __init__(self, as_json: bool) -> None:
        self.found: dict[str, Any] = {}
        self.failures: dict[str, Refused | Unreachable] = {}
        self._as_json = as_json

    def end(self) -> None:
        """If a service failed, end the command so, after all others were heard."""
        codes = [complain(failure, self._as_json, name) for name, failure in self.failures.items()]
        if codes:
            raise click.exceptions.Exit(codes[0])


def of_each(apis: Mapping[str, Api], ask: Callable[[Api], Any], as_json: bool) -> OfEach:
    """Ask one service after the other; one that fails does not keep the others from being asked."""
    answers = OfEach(as_json)
    for name, api in apis.items():
        try:
            answers.found[name] = ask(api)
        except (Refused, Unreachable) as failure:
            answers.failures[name] = failure
    return answers
