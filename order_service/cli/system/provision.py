"""`fulfillment provision`: declares at the broker what the services check and use."""

import click

from shared.addresses import address
from shared.bootstrap import system_topology
from shared.messaging.broker import ConnectionLost
from shared.messaging.brokers.rabbitmq import RabbitMQ
from shared.service import services


@click.command(short_help="Declare at BROKER_URL what the services use.")
def provision() -> None:
    """Declare exchanges, queues and bindings at BROKER_URL, and wait until they can be used. May be repeated."""
    settings = services()["order"].settings(required=["BROKER_URL"])
    declare(settings.broker_url)


def declare(broker_url: str) -> None:
    """Provision the broker at an amqp:// address; raises ClickException with a reason to read."""
    topology = system_topology()
    try:
        RabbitMQ(broker_url).provision(topology)
    except (ConnectionLost, ValueError) as error:
        raise click.ClickException(f"{address(broker_url)} cannot be provisioned: {error}") from error
    click.echo(f"the broker is ready: {len(topology.queues)} queues, {len(topology.bindings)} bindings")
