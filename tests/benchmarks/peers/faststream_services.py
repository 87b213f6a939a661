"""FastStream and asyncpg: four services, each a subscriber of its own queue; one transaction and one confirm a message.

python -m tests.benchmarks.peers.faststream_services drive | serve SERVICE
"""

import asyncio
import logging
import sys
from collections.abc import Sequence
from itertools import pairwise

import uvloop
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitMessage, RabbitQueue

from tests.benchmarks.peers.doing import Pools
from tests.benchmarks.peers.driver import Driver
from tests.benchmarks.peers.work import NAMED, PLACE, ROUTE, Order, place_of

PREFETCH = 32
POOL = 8
NEXT = {step.name: following for step, following in pairwise(ROUTE)}


def new_broker() -> RabbitBroker:
    return RabbitBroker(place_of("broker"), default_channel=Channel(prefetch_count=PREFETCH), logger=None)


async def serve(service: str) -> None:
    pools = Pools(service, size=POOL)
    broker = new_broker()

    @broker.subscriber(RabbitQueue(service, durable=True), ack_policy=AckPolicy.MANUAL)
    async def work(body: bytes, message: RabbitMessage) -> None:
        step = NAMED[message.raw_message.type or ""]
        await pools.do(step, Order.from_json(body))
        if following := NEXT.get(step.name):
            await broker.publish(body, following.service, message_type=following.name, persist=True)
        await message.ack()

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
            first = ROUTE[0]
            await broker.publish(order.to_json().encode(), first.service, message_type=first.name, persist=True)
        return [order.id for order in orders]

    await Driver(place, place_of("order"), at_once=POOL).serve()


if __name__ == "__main__":
    logging.disable(logging.INFO)
    match sys.argv[1:]:
        case ["drive"]:
            uvloop.run(drive())
        case ["serve", name]:
            uvloop.run(serve(name))
