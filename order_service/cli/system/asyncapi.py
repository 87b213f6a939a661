"""`fulfillment asyncapi`: what all services say and hear, for machines; and what has changed since."""

import json
from pathlib import Path
from typing import Any

import click

from shared.asyncapi import document
from shared.compatibility import breaks
from shared.service import services


@click.command(short_help="Print the events of all services as AsyncAPI 3.")
@click.option(
    "--compare",
    "before",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Print instead what has changed since this document was printed that breaks who reads or writes by it.",
)
def asyncapi(before: Path | None) -> None:
    """Print what all services say and hear as an AsyncAPI 3 document: exchanges, types, schemas and examples.

    Each service's own part of it is at /asyncapi.json of its API. With --compare the exit code is 1 if anything breaks.
    """
    now = document({name: list(service.handlers) for name, service in services().items()})
    if before is None:
        click.echo(json.dumps(now, indent=2))
        return
    found = breaks(_read(before), now)
    click.echo("\n".join(found) or "nothing breaks")
    if found:
        raise click.exceptions.Exit(1)


def _read(file: Path) -> dict[str, Any]:
    try:
        read: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if read["asyncapi"] and read["channels"] and read["components"]["schemas"]:
            return read
    except (ValueError, LookupError, TypeError) as error:
        raise click.UsageError(f"{file} is no AsyncAPI document of ours: {error!r}") from error
    raise click.UsageError(f"{file} is an empty AsyncAPI document")
