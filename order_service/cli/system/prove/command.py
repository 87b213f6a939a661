"""`fulfillment prove`: breaks everything on purpose while orders are placed, and says whether all adds up."""

import secrets
import signal
import sys
from pathlib import Path

import click
import msgspec

from order_service.cli.client.rendering import console
from order_service.cli.stack import Missing, NotReady
from order_service.cli.system.prove.kept import keep
from order_service.cli.system.prove.page import page
from order_service.cli.system.prove.report import report
from order_service.cli.system.prove.running import Proof, run
from shared.terminal import say


@click.command(short_help="Break everything on purpose, and prove that all adds up.")
@click.option("--seed", type=click.IntRange(0), help="Of the script and of the orders.  [default: by chance]")
@click.option("--orders", type=click.IntRange(1, 1_000_000), default=6_000, show_default=True)
@click.option("--faults", type=click.IntRange(0, 100_000), default=120, show_default=True)
@click.option("--minutes", type=click.FloatRange(0.1, 10_000), default=10.0, show_default=True)
@click.option("--only", multiple=True, metavar="WORDS", help="Kinds with these words in their name; may be repeated.")
@click.option("--impatient", is_flag=True, help="Steps give up after three seconds of silence: many orders turn back.")
@click.option("--folder", type=click.Path(path_type=Path), default="data/prove", show_default=True, help="For reports.")
@click.option(
    "--keep", "kept", type=click.Path(path_type=Path), help="Keep the figures in this folder, such as docs/proof."
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def prove(
    seed: int | None,
    orders: int,
    faults: int,
    minutes: float,
    only: tuple[str, ...],
    impatient: bool,
    folder: Path,
    kept: Path | None,
    as_json: bool,
) -> None:
    """Place orders of every fate while a seeded script breaks processes, servers, disks and networks; then audit.

    RabbitMQ and PostgreSQL are started from the system's packages, for this alone. Ends by itself: three minutes after
    --minutes at the latest, and the time that servers need. Exits with 1 when any order, cent, piece, parcel or message
    is not accounted for, or when somebody was told what is not so.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # ends what was started
    chosen = secrets.randbelow(1_000_000) if seed is None else seed
    proof = Proof(seed=chosen, orders=orders, faults=faults, seconds=minutes * 60, only=only, impatient=impatient)
    say(proof.command, error=as_json)
    try:
        found = run(proof, folder, lambda line: say(line, error=as_json))
    except (Missing, NotReady, ValueError) as error:
        raise click.ClickException(str(error)) from error
    (folder / "report.html").write_text(page(found))
    (folder / "result.json").write_bytes(msgspec.json.encode(found))
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        console().print(report(found))
        say(f"{folder / 'report.html'} shows it")
    if kept:
        say(f"{keep(found, kept)} is written", error=as_json)
    sys.exit(1 if found.violations else 0)
