"""aio-pika and asyncpg: four services, each a consumer of its own queue; one transaction and one confirm a message.

python -m tests.benchmarks.peers.aio_pika_services drive | serve SERVICE
"""

import asyncio
import sys
from collections.abc import Sequence
from itertools import pairwise

import aio_pika
import uvloop
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from tests.benchmarks.peers.doing import Pools
from tests.benchmarks.peers.driver import Driver
from tests.benchmarks.peers.work import NAMED, PLACE, ROUTE, Order, Step, place_of

PREFETCH = 32
POOL = 8
NEXT = {step.name: following for step, following in pairwise(ROUTE)}


async def publish(channel: AbstractChannel, step: Step, body: bytes) -> None:
    """Ask a service for a step; returns when the broker has it."""
    message = aio_pika.Message(body, type=step.name, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await channel.default_exchange.publish(message, routing_key=step.service)


async def declare(channel: AbstractChannel) -> None:
    for service in {step.service for step in ROUTE}:
        await channel.declare_queue(service, durable=True)


async def serve(service: str) -> None:
    """Do this service's steps, as many at once as are prefetched, and pass each order on."""
    pools = Pools(service, size=POOL)
    await pools.open()
    connection = await aio_pika.connect(place_of("broker"))
    consuming, publishing = await connection.channel(publisher_confirms=False), await connection.channel()
    await declare(consuming)
    await consuming.set_qos(prefetch_count=PREFETCH)

    async def work(message: AbstractIncomingMessage) -> None:
        step = NAMED[message.type or ""]
        await pools.do(step, Order.from_json(message.body))
        if following := NEXT.get(step.name):
            await publish(publishing, following, message.body)
        await message.ack()

    await (await consuming.get_queue(service)).consume(work)
    await asyncio.Event().wait()


async def drive() -> None:
    pools = Pools("order", size=POOL)
    await pools.open()
    channel = await (await aio_pika.connect(place_of("broker"))).channel()
    await declare(channel)

    async def place(numbers: Sequence[int]) -> list[str]:
        orders = [Order.new(number) for number in numbers]
        for order in orders:
            await pools.do(PLACE, order)
            await publish(channel, ROUTE[0], order.to_json().encode())
        return [order.id for order in orders]

    await Driver(place, place_of("order"), at_once=POOL).serve()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["drive"]:
            uvloop.run(drive())
        case ["serve", name]:
            uvloop.run(serve(name))
