"""Restate: a handler of six durable steps, called through the server's ingress; each worker has a service of its own.

python -m tests.benchmarks.peers.restate_workflows server | worker NUMBER | drive WORKERS
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import restate
import uvloop
from hypercorn.asyncio import serve
from hypercorn.config import Config

from tests.benchmarks.peers.doing import Pools
from tests.benchmarks.peers.driver import Driver
from tests.benchmarks.peers.work import COMPLETE, PLACE, STEPS, Order, place_of

POOL = 8
AT_ONCE = 16
PROGRAM = Path(sys.prefix) / "node_modules" / ".bin" / "restate-server"

pools = Pools("order", size=POOL)  # one database holds everything


async def fulfill(context: restate.Context, asked: dict[str, object]) -> None:
    order = Order(**asked)
    for step in STEPS:
        await context.run_typed(step.name, pools.do, step=step, order=order)
    await pools.do(COMPLETE, order)  # safe to repeat, so it needs no place in the journal


def run_server() -> None:
    """Become the server, with its files in a folder of its own; telemetry is off."""
    ingress, admin = place_of("ingress"), place_of("admin")
    os.environ.update(
        RESTATE_BASE_DIR=tempfile.mkdtemp(prefix="restate", dir=place_of("folder")),
        RESTATE_DISABLE_TELEMETRY="true",
        RESTATE_BIND_IP="127.0.0.1",
        RESTATE_LISTEN_MODE="tcp",
        RESTATE_BIND_PORT=place_of("node"),
        RESTATE_INGRESS__BIND_ADDRESS=f"127.0.0.1:{ingress}",
        RESTATE_ADMIN__BIND_ADDRESS=f"127.0.0.1:{admin}",
        RESTATE_LOG_FILTER="warn",
    )
    os.execv(PROGRAM, [str(PROGRAM), "--no-logo", "--node-name", "peer"])


def run_worker(number: str) -> None:
    service = restate.Service(f"fulfillment{number}")
    service.handler()(fulfill)
    endpoint = restate.app([service])

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await endpoint(scope, receive, send)
            return
        await receive()
        await pools.open()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    config = Config()
    config.bind = [f"127.0.0.1:{place_of(f'endpoint{number}')}"]
    config.h2_max_concurrent_streams = config.keep_alive_max_requests = 2**31 - 1
    config.keep_alive_timeout = 3600
    uvloop.run(serve(application, config))


async def register(session: aiohttp.ClientSession, number: int) -> None:
    """Tell the server where a worker is, as soon as both are there."""
    deployment = {"uri": f"http://127.0.0.1:{place_of(f'endpoint{number}')}", "force": True}
    async with asyncio.timeout(60):
        while True:
            try:
                async with session.post(f"http://127.0.0.1:{place_of('admin')}/deployments", json=deployment) as answer:
                    if answer.ok:
                        return
                    complaint = await answer.text()
            except aiohttp.ClientConnectionError as error:
                complaint = str(error)
            print(complaint, file=sys.stderr)
            await asyncio.sleep(0.2)


async def drive(workers: int) -> None:
    await pools.open()
    async with aiohttp.ClientSession() as session:
        for number in range(workers):
            await register(session, number)
        ingress = f"http://127.0.0.1:{place_of('ingress')}"

        async def place(numbers: Sequence[int]) -> list[str]:
            orders = {number: Order.new(number) for number in numbers}
            for number, order in orders.items():
                url = f"{ingress}/fulfillment{number % workers}/fulfill/send"
                await pools.do(PLACE, order)
                headers = {"idempotency-key": order.id}
                async with session.post(url, json=json.loads(order.to_json()), headers=headers) as answer:
                    answer.raise_for_status()
            return [order.id for order in orders.values()]

        await Driver(place, place_of("order"), at_once=AT_ONCE).serve()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["server"]:
            run_server()
        case ["worker", number]:
            run_worker(number)
        case ["drive", workers]:
            uvloop.run(drive(int(workers)))
