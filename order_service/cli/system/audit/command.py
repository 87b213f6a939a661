"""`fulfillment books`: holds the books of a running or stopped system together."""

import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime

import click

from order_service.cli.client.rendering import console
from order_service.cli.system.books import Books, audit, open_databases, report
from order_service.web.console.pages import Audited
from shared.commands import complaining
from shared.database import Database

DATABASES = "sqlite:///data/{service}.db"


@click.command(short_help="Check that money, stock, parcels and messages add up.")
@click.option("--database", "template", default=DATABASES, show_default=True, help="Its URL, by {service}.")
@click.option("--wait", default=0.0, help="Seconds to wait until nothing is under way; what then is, is an error.")
def books(template: str, wait: float) -> None:
    """Check that money, stock, parcels and messages add up; exits 1 when they do not."""
    with complaining("fulfillment"), open_databases(template) as databases:
        found = settled_books(databases, wait)
    console().print(report(found))
    sys.exit(1 if found.differences or (wait and found.under_way) else 0)


def settled_books(databases: Mapping[str, Database], wait: float) -> Books:
    """The books as soon as nothing is under way, or as they are after `wait` seconds."""
    until = time.monotonic() + wait
    while (found := audit(databases)).under_way and time.monotonic() < until:
        time.sleep(0.2)
    return found


def auditor(databases: Mapping[str, Database], now: Callable[[], datetime]) -> Callable[[], Audited]:
    """What looks at all the books for the console, and remembers when they last added up."""
    last_clean: list[datetime] = []

    def look() -> Audited:
        found, at = audit(databases), now()
        if not found.differences:
            last_clean[:] = [at]
        return Audited(
            at=at,
            differences=[str(each) for each in found.differences],
            under_way=list(found.under_way),
            by_hand=list(found.by_hand),
            orders=len(found.orders.orders),
            last_clean=last_clean[0] if last_clean else None,
        )

    return look
