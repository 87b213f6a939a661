"""`fulfillment doctor`: looks at what all services need, and says what is wrong and how to mend it."""

import sys
from dataclasses import asdict

import click
from rich.console import Group
from rich.text import Text

from order_service.cli.client.connecting import as_json, present
from order_service.cli.client.rendering import grid
from order_service.cli.system.checkup import Finding, examine
from order_service.cli.system.options import DATABASES
from shared.config import Settings
from shared.service import Service


@click.command(short_help="Say what is wrong with an installation, and how to mend it.")
@click.option("--database", "template", default=DATABASES, show_default=True, help="Its URL, by {service}.")
@click.option("--broker", envvar="BROKER_URL", show_envvar=True, default="embedded://", show_default=True)
@as_json
def doctor(template: str, broker: str, as_json: bool) -> None:
    """Look at configuration, databases, their tables, permissions and clocks, the broker and its queues, and versions.

    Says what is wrong and how to mend it, and exits 1 then. Changes nothing. Bindings cannot be seen from outside:
    `fulfillment provision` may be repeated.
    """

    def settings_of(service: Service) -> Settings:
        url = template.replace("{service}", service.name)
        return service.settings(database_url=url, broker_url=broker)

    found = list(examine(settings_of))
    present([asdict(each) for each in found], as_json, lambda shown: _drawn([Finding(**each) for each in shown]))
    sys.exit(1 if any(each.wrong for each in found) else 0)


def _drawn(found: list[Finding]) -> Group:
    table = grid("", "check", "of", "found")
    for each in found:
        mark = Text("✗", "red") if each.wrong else Text("✓", "green")
        table.add_row(mark, each.check, each.about, Text(each.wrong or each.found, overflow="fold"))
        if each.mend:
            table.add_row("", "", "", Text(f"mend: {each.mend}", "bold", overflow="fold"))
    wrong = sum(each.wrong is not None for each in found)
    return Group(table, Text(), Text(f"{wrong} of {len(found)} are wrong" if wrong else "all is well"))
