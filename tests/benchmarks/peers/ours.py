"""This project as a contestant: its four workers as processes, orders placed in groups or by HTTP.

python -m tests.benchmarks.peers.ours prepare | worker SERVICE | web | drive-group SIZE | drive-http CONNECTIONS
"""

import asyncio
import itertools
import json
import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import text

from order_service.placing import Placed, place
from shared.bootstrap import system_topology
from shared.config import environment
from shared.database import Database
from shared.messaging.brokers.rabbitmq import RabbitMQ
from shared.messaging.notifier import Notifier
from shared.migrate import migrate
from shared.service import services
from tests.benchmarks.load import TERMS, Client, Load, new_order
from tests.benchmarks.peers.driver import Driver, Place, in_threads
from tests.benchmarks.peers.work import SKUS, place_of
from tests.benchmarks.system import GOODS, KEYS, UNLIMITED, plain


def prepare() -> None:
    """Tables, as many goods as the peers have, and queues."""
    for name, service in services().items():
        database = Database(place_of(name))
        migrate(service, database, seed=False)
        with database.transaction() as connection:
            for statement in GOODS.get(name, []):
                connection.execute(text(statement), {"last": SKUS - 1} if ":last" in statement else {})
        database.dispose()
    RabbitMQ(place_of("broker")).provision(system_topology(), settle=0.1)


def become(service: str, verb: str, **settings: str) -> None:
    """Go on as a process of a service, as it is run everywhere."""
    given = environment(DATABASE_URL=place_of(service), LOG_LEVEL="WARNING", **settings)
    os.execve(sys.executable, [sys.executable, "-m", services()[service].package, verb], given)


def placing_in_groups(load: Load) -> Place:
    """What the Order API does with requests that come at once, without HTTP."""
    database = Database(load.database_url)
    notifier = Notifier(database)

    def place_all(numbers: Sequence[int]) -> list[str]:
        wanted = [new_order(load, number) for number in numbers]
        with database.batch() as connection:
            outcomes = place(connection, datetime.now(UTC), wanted, TERMS)
        notifier.notify()
        return [outcome.order_id for outcome in outcomes if isinstance(outcome, Placed)]

    return in_threads(place_all, 1)


def placing_by_http(load: Load) -> Place:
    client = Client(load)

    async def placing(numbers: Sequence[int]) -> list[str]:
        return [json.loads(await client.post(number))["id"] for number in numbers]

    return placing


async def until_ready(port: int) -> None:
    async with asyncio.timeout(60):
        for pause in itertools.repeat(0.1):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(pause)
            else:
                writer.close()
                return


async def drive(verb: str, number: int) -> None:
    load = Load(run=secrets.token_hex(4), database_url=place_of("order"), orders=0)
    orders = plain(load.database_url)
    if verb == "drive-http":
        port = int(place_of("http"))
        await until_ready(port)
        place = placing_by_http(replace(load, url=f"http://127.0.0.1:{port}"))
        await Driver(place, orders, at_once=number, ended="fulfilled").serve()
    else:
        await Driver(placing_in_groups(load), orders, at_once=1, group=number, ended="fulfilled").serve()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prepare"]:
            prepare()
        case ["worker", name]:
            become(name, "worker", BROKER_URL=place_of("broker"))
        case ["web"]:
            become("order", "web", PORT=place_of("http"), WEB_THREADS="56", API_KEYS=KEYS, **UNLIMITED)
        case [verb, number]:
            asyncio.run(drive(verb, int(number)))
