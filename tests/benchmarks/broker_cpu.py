"""Processor time that a message costs a worker between its port and the socket, through a real RabbitMQ.

`python -m tests.benchmarks.broker_cpu` prints microseconds a message, published and taken; compare two commits by
running it in a checkout of each, in turn. Processor time depends little on what else the machine does.
"""

import statistics
import time
from datetime import UTC, datetime

import click

from shared.contracts import PaymentRequested
from shared.ids import uuid7
from shared.messaging.broker import Connection
from shared.messaging.brokers.rabbitmq import RabbitMQ
from shared.messaging.envelope import Envelope, enclose
from shared.messaging.topology import topology
from tests.benchmarks.servers import Servers

TOPOLOGY = topology({"order": [], "payment": [PaymentRequested]})
BATCH = 200


def envelopes(count: int) -> list[Envelope]:
    now = datetime.now(UTC)
    ids = [uuid7(now) for _ in range(count)]
    said = [PaymentRequested(order_id=each, amount=1999, currency="EUR", payment_token="tok_visa") for each in ids]
    return [enclose(each, at=now, new_id=uuid7) for each in said]


def round_trip(order: Connection, payment: Connection, messages: list[Envelope]) -> tuple[float, float]:
    """Processor seconds for publishing all, until they are confirmed; and for taking and acknowledging all."""
    confirmed, began = 0, time.process_time()
    for at in range(0, len(messages), BATCH):
        order.publish(messages[at : at + BATCH])
    while confirmed < len(messages):
        order.take(0, 0.05)
        confirmed += len(order.settled().confirmed)
    published = time.process_time()
    left = len(messages)
    while left:
        taken = payment.take(BATCH, 1.0)
        payment.acknowledge(taken)
        payment.prefetch(2 * BATCH)
        left -= len(taken)
    return published - began, time.process_time() - published


@click.command(help=__doc__)
@click.option("--messages", default=4_000, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--bundles", default="1,10,50", show_default=True, help="Events in a message.")
def main(messages: int, rounds: int, bundles: str) -> None:
    with Servers() as servers:
        url = servers.broker_url("cpu")
        RabbitMQ(url).provision(TOPOLOGY, settle=0)
        print("events in a message | µs published | µs taken | µs both (median of rounds)")
        for bundle in map(int, bundles.split(",")):
            broker = RabbitMQ(url, bundle=bundle)
            order, payment = broker.connect("order"), broker.connect("payment")
            sent = envelopes(messages)
            found = [round_trip(order, payment, sent) for _ in range(rounds + 1)][1:]
            each = [statistics.median(part) * 1e6 / messages for part in zip(*found, strict=True)]
            print(f"{bundle:19} | {each[0]:12.1f} | {each[1]:8.1f} | {sum(each):7.1f}", flush=True)
            order.close()
            payment.close()


if __name__ == "__main__":
    main()
