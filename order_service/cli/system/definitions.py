"""`fulfillment definitions`: the broker's definitions file, so that it begins with the right users and nobody else."""

import json
from pathlib import Path

import click

from shared.addresses import SHIPPED
from shared.bootstrap import system_topology

ENDING = "_broker_password"


@click.command(short_help="Write RabbitMQ's definitions file.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--passwords",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default="/run/secrets",
    show_default=True,
    help=f"The folder of the files USER{ENDING}: one for each service's worker, for `provision` and, if wanted, for "
    "`monitor` and `listener`.",
)
@click.option("--vhost", default="/", show_default=True, help="The virtual host that all of it lives in.")
@click.option("--demo", envvar="DEMO", show_envvar=True, type=click.BOOL, help="Take the passwords of the examples.")
def definitions(file: Path, folder: Path, vhost: str, demo: bool) -> None:
    """Write RabbitMQ's definitions FILE: exchanges, queues, bindings, and each service's narrow permissions."""
    try:
        content = system_topology().definitions(_passwords(folder, demo), vhost)
    except (ValueError, OSError) as error:
        raise click.UsageError(f"{folder}: {error}") from error
    file.write_text(json.dumps(content, indent=2))
    click.echo(f"{file}: {len(content['users'])} users, {len(content['queues'])} queues")


def _passwords(folder: Path, demo: bool) -> dict[str, str]:
    """The password of each user. Raises ValueError for one that is empty, or known to everybody and no `demo`."""
    found = {
        each.name.removesuffix(ENDING): each.read_text(encoding="utf-8").strip()
        for each in sorted(folder.glob(f"*{ENDING}"))
    }
    if empty := [user for user, password in found.items() if not password]:
        raise ValueError(f"{empty[0]}{ENDING} is empty")
    if known := [user for user, password in found.items() if SHIPPED.fullmatch(password) and not demo]:
        raise ValueError(f"{known[0]}{ENDING} is one of the examples: use your own, or set DEMO=on")
    return found
