"""`fulfillment retry | reverse | settle | deadline`: what operators do about one step of an order."""

import re
from datetime import datetime, timedelta
from urllib.parse import quote

import click

from order_service.cli.client.api import Api
from order_service.cli.client.connecting import as_json, because, note, order_id, speaks
from order_service.cli.client.orders import present_order

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

step = click.argument("step")


class Span(click.ParamType[timedelta]):
    """`90m`, `2h`, `3d`: how long from now."""

    name = "span"

    def convert(
        self, value: str | timedelta, param: click.Parameter | None, context: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"(\d{1,6})([smhd])", value)
        if not found:
            return self.fail(f"{value!r} is no span of time, such as 90m, 2h or 3d", param, context)
        return timedelta(**{UNITS[found[2]]: int(found[1])})


class Moment(click.ParamType[datetime]):
    """A moment of ISO 8601, in the zone of this machine unless it names one."""

    name = "moment"

    def convert(self, value: str | datetime, param: click.Parameter | None, context: click.Context | None) -> datetime:
        try:
            return datetime.fromisoformat(str(value)).astimezone()
        except (ValueError, OverflowError):
            return self.fail(f"{value!r} is no moment, such as 2027-01-31T12:00 or 2027-01-31T12:00Z", param, context)


@click.command()
@order_id
@step
@note
@as_json
@speaks
def retry(api: Api, order_id: str, step: str, note: str | None, as_json: bool) -> None:
    """Ask for a step again, now, and count the attempts anew."""
    present_order(api, api.post(f"{_path(order_id, step)}/retry", because(note)), as_json)


@click.command()
@order_id
@click.argument("step", default="capture")
@note
@as_json
@speaks
def reverse(api: Api, order_id: str, step: str, note: str | None, as_json: bool) -> None:
    """Withdraw the capture while its answer is in doubt, and turn back."""
    present_order(api, api.post(f"{_path(order_id, step)}/reverse", because(note)), as_json)


@click.command()
@order_id
@step
@click.option("--note", required=True, help="How it was seen to; it is kept in the history.")
@as_json
@speaks
def settle(api: Api, order_id: str, step: str, note: str, as_json: bool) -> None:
    """Say that a step that needed a person was seen to by hand."""
    present_order(api, api.post(f"{_path(order_id, step)}/settle", {"note": note}), as_json)


@click.command()
@order_id
@step
@click.option("--in", "span", type=Span(), help="So long from now by the service's clock: 90m, 2h, 3d.")
@click.option("--at", "moment", type=Moment(), help="At this moment: 2027-01-31T12:00, here, or with its zone.")
@click.option("--never", is_flag=True, help="Wait for ever; only for people, so only for an approval.")
@note
@as_json
@speaks
def deadline(
    api: Api,
    order_id: str,
    step: str,
    span: timedelta | None,
    moment: datetime | None,
    never: bool,
    note: str | None,
    as_json: bool,
) -> None:
    """Wait for a step's answer until another time."""
    if [span is not None, moment is not None, never].count(True) != 1:
        raise click.UsageError("say one of --in, --at and --never")
    if span is not None:
        api.get(f"/orders/{order_id}")  # and hear what time it is there
        if api.now is None:
            raise click.UsageError("the service does not say what time it is there: use --at")
        moment = api.now + span
    until = {"deadline": moment and moment.isoformat(), **(because(note) or {})}
    present_order(api, api.call("PATCH", _path(order_id, step), until).body, as_json)


def _path(order_id: str, step: str) -> str:
    return f"/orders/{order_id}/steps/{quote(step, safe='')}"
