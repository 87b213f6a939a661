"""How `fulfillment` ends: with an exit code that tells what kind of thing went wrong, and one line that says what."""

import json
from enum import IntEnum
from typing import Any

import click

from order_service.cli.client.api import Refused, Unreachable
from shared.terminal import say

TYPE = "urn:problem-type:fulfillment:"


class Exit(IntEnum):
    """docs/command-line.md has them as a table."""

    DONE = 0
    NOT_WELL = 1  # the command did its work, and what it found is not well; or this machine is not set up for it
    USAGE = 2  # the command was not understood; nothing was asked
    FORBIDDEN = 3  # no token, a wrong one, or one of another role
    NOT_FOUND = 4
    CONFLICT = 5  # things stand in such a way that it cannot be done now
    INVALID = 6  # the API does not take what was sent
    UNAVAILABLE = 7  # nobody answers, or not now: worth trying again
    INTERRUPTED = 130


KINDS = {401: Exit.FORBIDDEN, 403: Exit.FORBIDDEN, 404: Exit.NOT_FOUND, 409: Exit.CONFLICT}
LATER = (408, 429)
NEXT = {
    Exit.FORBIDDEN: "set FULFILLMENT_TOKEN, or give --token: one that this API knows, and for most acts an operator's",
    Exit.NOT_FOUND: "`fulfillment list` shows the orders that you may see, `fulfillment dead-letters list` the letters",
    Exit.CONFLICT: "`fulfillment explain ORDER_ID` says how the order stands and what can be done now",
    Exit.UNAVAILABLE: "try again; if it stays so, `fulfillment doctor` looks at an installation on this machine",
}

Failure = Refused | Unreachable | click.ClickException


def exit_of(failure: Failure) -> Exit:
    """The exit code that tells of this kind of failure."""
    if isinstance(failure, click.ClickException):
        return Exit(failure.exit_code)
    if isinstance(failure, Unreachable) or failure.status >= 500 or failure.status in LATER:
        return Exit.UNAVAILABLE
    return KINDS.get(failure.status, Exit.INVALID)


def complain(failure: Failure, as_json: bool, service: str = "") -> Exit:
    """Say on stderr what went wrong, in words or as a problem (RFC 9457) on one line; returns the exit code.

    `service` is named where several were asked.
    """
    named = {"service": service} if service else {}
    lines = ": ".join(["Error", *named.values(), str(failure)]).splitlines()
    if step := next_step(failure):
        named["next_step"] = step
        lines.append(f"Next: {step}")
    say(*([json.dumps({**problem_of(failure), **named})] if as_json else lines), error=True)
    return exit_of(failure)


def next_step(failure: Failure) -> str | None:
    """What to do about it, where that can be said."""
    if isinstance(failure, click.ClickException):
        return None  # its text says so
    return NEXT.get(exit_of(failure))


def problem_of(failure: Failure) -> dict[str, Any]:
    """The API's own problem, or one of the same form for what never came to the API."""
    if isinstance(failure, Refused):
        return {"title": str(failure), "status": failure.status, **failure.problem}
    if isinstance(failure, Unreachable):
        return {"type": f"{TYPE}unreachable", "title": "Unreachable", "detail": str(failure)}
    kind, title = ("usage", "Wrong usage") if isinstance(failure, click.UsageError) else ("not-well", "Not well")
    return {"type": f"{TYPE}{kind}", "title": title, "detail": failure.format_message()}
