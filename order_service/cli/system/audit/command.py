"""`fulfillment audit`: holds the books of a running or stopped system together."""

import sys

import click

from order_service.cli.client.rendering import console
from order_service.cli.system.audit.auditing import audit_at_rest, open_databases
from order_service.cli.system.audit.report import report
from shared.commands import complaining

DATABASES = "sqlite:///data/{service}.db"


@click.command("audit", short_help="Check that money, stock, parcels and messages add up.")
@click.option("--database", "template", default=DATABASES, show_default=True, help="Its URL, by {service}.")
@click.option("--wait", default=0.0, help="Seconds to wait until nothing is under way; what then is, is an error.")
def command(template: str, wait: float) -> None:
    """Check that money, stock, parcels and messages add up; exits 1 when they do not."""
    with complaining("fulfillment"), open_databases(template) as databases:
        found = audit_at_rest(databases, wait)
    console().print(report(found))
    sys.exit(1 if found.violations or (wait and found.under_way) else 0)
