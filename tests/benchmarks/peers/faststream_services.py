"""FastStream and asyncpg: four services, each a subscriber of its own queue; one transaction and one confirm a message.

python -m tests.benchmarks.peers.faststream_services drive | serve SERVICE
"""

import asyncio
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import uvloop
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue

from tests.benchmarks.peers.doing import Pools
from tests.benchmarks.peers.driver import Driver
from tests.benchmarks.peers.work import NAMED, PLACE, ROUTE, Order, Step, place_of

PREFETCH = 32
POOL = 8
NEXT = {step.name: following for step, following in pairwise(ROUTE)}


def new_broker() -> RabbitBroker:
    channel = Channel(prefetch_count=PREFETCH)
    return RabbitBroker(place_of("broker"), default_channel=channel, apply_types=False, logger=None)


async def ask(broker: RabbitBroker, step: Step, order: Order) -> None:
    """Ask a service for a step; returns when the broker has it."""
    await broker.publish({"step": step.name, "order": asdict(order)}, step.service, persist=True)


async def serve(service: str) -> None:
    """Do this service's steps, as many at once as are prefetched, and pass each order on."""
    pools = Pools(service, size=POOL)
    broker = new_broker()

    @broker.subscriber(RabbitQueue(service, durable=True), ack_policy=AckPolicy.NACK_ON_ERROR)
    async def work(asked: dict[str, Any]) -> None:
        step, order = NAMED[asked["step"]], Order(**asked["order"])
        await pools.do(step, order)
        if following := NEXT.get(step.name):
            await ask(broker, following, order)

    await pools.open()
    await broker.start()
    await asyncio.Event().wait()


async def drive() -> None:
    pools = Pools("order", size=POOL)
    broker = new_broker()
    await pools.open()
    await broker.start()
    for service in {step.service for step in ROUTE}:
        await broker.declare_queue(RabbitQueue(service, durable=True))

    async def place(numbers: Sequence[int]) -> list[str]:
        orders = [Order.new(number) for number in numbers]
        for order in orders:
            await pools.do(PLACE, order)
            await ask(broker, ROUTE[0], order)
        return [order.id for order in orders]

    await Driver(place, place_of("order"), at_once=POOL).serve()


if __name__ == "__main__":
    logging.disable(logging.INFO)
    match sys.argv[1:]:
        case ["drive"]:
            uvloop.run(drive())
        case ["serve", name]:
            uvloop.run(serve(name))
