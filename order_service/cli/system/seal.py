"""`fulfillment seal`: a signed checkpoint of all histories, for a place where nobody of this system can write."""

import sys
from pathlib import Path

import click
import msgspec

from order_service.cli.system.audit.reading import PATIENT
from order_service.cli.system.audit.sealing import Broken, Seal, take, verify
from order_service.cli.system.options import DATABASES
from shared.bootstrap import open_database
from shared.clock import DatabaseClock
from shared.commands import complaining
from shared.config import Misconfigured, environment, load
from shared.database import Database
from shared.terminal import say
from shared.variables import given_text

SHORTEST = 32  # characters of a key


@click.command(short_help="Sign what all histories are, to prove later that none was rewritten.")
@click.option("--database", "template", default=DATABASES, show_default=True, help="Its URL, by {service}.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="The file to write; it must be new.")
@click.option(
    "--verify", "sealed", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Check this one."
)
def seal(template: str, output: Path | None, sealed: Path | None) -> None:
    """Write a signed checkpoint of all orders' histories, or --verify one; exits 1 when a history was rewritten.

    SEAL_KEY, or SEAL_KEY_FILE, is the key. Keep it, and the files, where nobody can come who can write to the database.
    """
    if (output is None) == (sealed is None):
        raise click.UsageError("say one of --output and --verify")
    with complaining("fulfillment"):
        key = _key()
        known = load(service="order", environ={}, overrides={"database_url": template.replace("{service}", "order")})
        with open_database(known, PATIENT) as database:
            if sealed:
                sys.exit(_verify(database, _read(sealed, key)))
            with database.reading() as connection:
                now = DatabaseClock().now(connection)
            try:
                taken = take(database, now).signed(key)
            except Broken as error:
                sys.exit(f"fulfillment: nothing is sealed: {error}")
    assert output
    _write(output, taken)
    say(f"sealed {taken.lines:,} lines of {taken.orders:,} orders: {taken.root}")


def _key() -> str:
    """The key to sign with. Raises Misconfigured."""
    try:
        key = given_text("SEAL_KEY", environment())
    except ValueError as error:
        raise Misconfigured(f"fulfillment: SEAL_KEY {error}") from None
    if key is None or len(key) < SHORTEST:
        raise Misconfigured(f"fulfillment: SEAL_KEY, or SEAL_KEY_FILE, must be given {SHORTEST} characters or more")
    return key


def _read(file: Path, key: str) -> Seal:
    """A seal that this key has signed; ends the program when it is none."""
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Seal)
    except (OSError, msgspec.MsgspecError) as error:
        sys.exit(f"fulfillment: {file} is no seal: {error}")
    if not found.is_signed(key):
        sys.exit(f"fulfillment: {file} was changed, or signed with another key")
    return found


def _write(file: Path, taken: Seal) -> None:
    try:
        with file.open("xb") as new:
            new.write(msgspec.json.format(msgspec.json.encode(taken), indent=1) + b"\n")
    except OSError as error:
        sys.exit(f"fulfillment: {file} cannot be written: {error.strerror}")


def _verify(database: Database, found: Seal) -> int:
    wrong = verify(database, found)
    for each in wrong:
        say(f"not as it was sealed: {each}")
    if not wrong:
        when = f"{found.sealed_at:%Y-%m-%dT%H:%M:%SZ}"
        say(f"{found.lines:,} lines of {found.orders:,} orders are as they were sealed at {when}: {found.root}")
    return 1 if wrong else 0
