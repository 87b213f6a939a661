"""`fulfillment audit`: checks every invariant of a running or stopped system, and says where one does not hold."""

import sys
from datetime import UTC, datetime

import click

from order_service.cli.client.connecting import as_json, print_json
from order_service.cli.client.rendering import console
from order_service.cli.system.audit.auditing import Scope, audit_at_rest
from order_service.cli.system.audit.reading import open_databases
from order_service.cli.system.audit.report import report
from order_service.cli.system.options import DATABASES, MOMENTS
from shared.commands import complaining


@click.command("audit", short_help="Check that money, stock, parcels and messages add up.")
@click.option("--database", "template", default=DATABASES, show_default=True, help="Its URL, by {service}.")
@click.option("--wait", default=0.0, help="Seconds to wait until nothing is under way; what then is, is an error.")
@click.option("--order", "order_ids", multiple=True, type=click.UUID, help="Only this order; may be repeated.")
@click.option("--since", type=click.DateTime(MOMENTS), help="Only orders that something happened to since then (UTC).")
@as_json
def command(template: str, wait: float, order_ids: tuple[str, ...], since: datetime | None, as_json: bool) -> None:
    """Check every invariant for all orders, and for stock, receipts and messages; exits 1 when one does not hold.

    It only reads, page by page, and locks nothing: the system may be running. With --order or --since it checks these
    orders, and nothing that is no single order's.
    """
    if order_ids and since:
        raise click.UsageError("say one of --order and --since")
    scope = Scope(only=[str(each) for each in order_ids] or None, since=since and since.replace(tzinfo=UTC))
    with complaining("fulfillment"), open_databases(template) as databases:
        found = audit_at_rest(databases, wait, scope)
    if as_json:
        print_json(found.as_json())
    else:
        console().print(report(found))
    if unknown := len(order_ids) - found.checked["orders"] if order_ids else 0:
        click.echo(f"fulfillment: {unknown} of these orders {'is' if unknown == 1 else 'are'} not there", err=True)
    sys.exit(1 if found.total or (wait and found.under_way) or unknown else 0)
