"""`fulfillment definitions`: the broker's definitions file, so that it begins with the right users and nobody else."""

import json
from pathlib import Path

import click

from shared.bootstrap import system_topology


@click.command(short_help="Write RabbitMQ's definitions file.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--passwords",
    envvar="BROKER_PASSWORDS",
    show_envvar=True,
    required=True,
    help="One for each service's worker, `provision` and, if wanted, `monitor` and `listener`: order=...,payment=...",
)
@click.option("--vhost", default="/", show_default=True, help="The virtual host that all of it lives in.")
def definitions(file: Path, passwords: str, vhost: str) -> None:
    """Write RabbitMQ's definitions FILE: exchanges, queues, bindings, and each service's narrow permissions."""
    pairs = [pair.strip().partition("=") for pair in passwords.split(",")]
    if not all(name and password for name, _, password in pairs):
        raise click.UsageError("--passwords must look like order=...,payment=..., without empty passwords")
    try:
        content = system_topology().definitions({name: password for name, _, password in pairs}, vhost)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    file.write_text(json.dumps(content, indent=2))
    click.echo(f"{file}: {len(content['users'])} users, {len(content['queues'])} queues")
