"""`fulfillment republish`: has every service publish again what the broker may have lost."""

from datetime import UTC, datetime

import click

from order_service.cli.system.audit import open_databases
from order_service.cli.system.options import DATABASES, MOMENTS
from shared.commands import complaining
from shared.messaging.durability.republishing import republish as publish_again
from shared.messaging.notifier import Notifier
from shared.service import services


@click.command(short_help="Publish again what a broker has lost.")
@click.option("--since", required=True, type=click.DateTime(MOMENTS), help="Confirmed at this time (UTC) or later.")
@click.option("--database", "template", default=DATABASES, show_default=True, help="Its URL, by {service}.")
@click.option("--service", "only", multiple=True, help="Only this service's messages; may be repeated.")
def republish(since: datetime, template: str, only: tuple[str, ...]) -> None:
    """Publish again what was published since then: the broker lost its data, or a queue was emptied.

    Nothing is done twice: every service knows the messages that it has worked.
    """
    if unknown := set(only) - services().keys():
        raise click.UsageError(f"there is no service {', '.join(sorted(unknown))}; there are {', '.join(services())}")
    with complaining("fulfillment"), open_databases(template) as databases:
        for name, database in databases.items():
            if only and name not in only:
                continue
            service, notifier = services()[name], Notifier(database)
            count = publish_again(service.tables.outbox, database, service.clock, since.replace(tzinfo=UTC))
            notifier.notify()
            notifier.close()
            click.echo(f"{name}: {count:,} messages will be published again")
