"""`fulfillment secrets`: a folder of passwords and API keys for compose, all new."""

from collections.abc import Mapping
from pathlib import Path

import click

from shared.api_keys import Principal, Role, hashed_entry, new_token
from shared.service import services

CONSOLE = Principal(role=Role.OPERATOR, name="console")


def contents(operator: Principal, token: str) -> Mapping[str, str]:
    """Every file by name: a password for each user of a server, the keys of each API, and the console's token. The
    token is the operator's, and is kept nowhere but as its hash."""
    names, asking, entry = list(services()), new_token(), hashed_entry(token, operator)
    roles = ["postgres", "auditor", *(f"{name}_{role}" for name in names for role in ("owner", "service", "web"))]
    users = ["provision", "monitor", "listener", *names]
    passwords = [*(f"{each}_password" for each in roles), *(f"{each}_broker_password" for each in users)]
    keys = {f"{name}_api_keys": f"{entry}\n{hashed_entry(asking, CONSOLE)}" for name in names}
    return {name: new_token() for name in passwords} | keys | {"order_api_keys": entry, "participants_key": asking}


@click.command(short_help="Write new passwords and API keys.")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--operator", default="admin", show_default=True, help="The name of the first operator.")
def secrets(folder: Path, operator: str) -> None:
    """Write new passwords and API keys into FOLDER, for compose: SECRETS=FOLDER, DEMO=off.

    Prints the operator's token, which is kept nowhere. More keys: `fulfillment key new`. Nothing is written over.
    """
    try:
        who = Principal.named(Role.OPERATOR, operator)
        folder.mkdir(mode=0o700, parents=True)
    except ValueError as error:
        raise click.UsageError(f"{operator!r} {error}") from None
    except OSError as error:
        raise click.ClickException(f"{folder} must be new: {error.strerror}") from error
    token = new_token()
    files = contents(who, token)
    for name, text in files.items():
        (folder / name).write_text(f"{text}\n", encoding="utf-8")
        (folder / name).chmod(0o644)  # a container's user must read it; the folder is closed
    click.echo(f"{folder}: {len(files)} files\ntoken of operator {operator}: {token}")
