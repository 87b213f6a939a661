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
from datetime import UTC, datetime

from sqlalchemy import text

from order_service.domain import NewOrder, Wish
from order_service.fulfillment.workflow import FULFILLMENT
from order_service.placing import Placed, place
from order_service.terms import Terms
from shared.bootstrap import system_topology
from shared.config import environment
from shared.database import Database
from shared.messaging.brokers.rabbitmq import RabbitMQ
from shared.messaging.notifier import Notifier
from shared.migrate import migrate
from shared.service import services
from tests.benchmarks.peers.driver import Driver, Place
from tests.benchmarks.peers.work import SKUS, place_of

KEY = "bench-alice"  # of the customer alice
UNLIMITED = {"KEY_RATE": "0", "KEY_SHARE": "100"}
TERMS = Terms(flow=FULFILLMENT, currency="EUR", approval_from=50_000)
ADDRESS = {"name": "Ada Lovelace", "line1": "12 Analytical Row", "city": "Berlin", "postal_code": "10115",
           "country": "DE"}  # fmt: skip
GOODS = {
    "order": "INSERT INTO products SELECT 'SKU-' || n, 'Goods ' || n, 2490, now() FROM generate_series(0, :last) n",
    "inventory": "INSERT INTO stock SELECT 'SKU-' || n, 1000000000, 0 FROM generate_series(0, :last) n",
}


def prepare() -> None:
    """Tables, as many goods as the peers have, and queues."""
    for name, service in services().items():
        database = Database(place_of(name))
        migrate(service, database, seed=False)
        if name in GOODS:
            with database.transaction() as connection:
                connection.execute(text(GOODS[name]), {"last": SKUS - 1})
        database.dispose()
    RabbitMQ(place_of("broker")).provision(system_topology(), settle=0.1)


def become(service: str, verb: str, **settings: str) -> None:
    """Go on as a process of a service, as it is run everywhere."""
    given = environment(DATABASE_URL=place_of(service), LOG_LEVEL="WARNING", **settings)
    os.execve(sys.executable, [sys.executable, "-m", services()[service].package, verb], given)


def placing_in_groups(run: str) -> Place:
    """What the Order API does with requests that come at once, without HTTP."""
    database = Database(place_of("order"))
    notifier = Notifier(database)

    def wanted(number: int) -> NewOrder:
        return NewOrder(
            principal="customer:alice",
            customer_id="alice",
            path="/orders",
            key=f"{run}-{number}",
            body_hash="b" * 64,
            lines=(Wish(sku=f"SKU-{number % SKUS}", quantity=1),),
            payment_token="tok_visa",
            ship_to=ADDRESS,
        )

    def place_all(numbers: Sequence[int]) -> list[str]:
        with database.batch() as connection:
            outcomes = place(connection, datetime.now(UTC), [wanted(number) for number in numbers], TERMS)
        notifier.notify()
        return [outcome.order_id for outcome in outcomes if isinstance(outcome, Placed)]

    async def placing(numbers: Sequence[int]) -> list[str]:
        return await asyncio.to_thread(place_all, numbers)

    return placing


class Client:
    """Connections to the Order API that stay open, one for each request under way."""

    def __init__(self, port: int, run: str) -> None:
        self._port, self._run = port, run
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def place(self, numbers: Sequence[int]) -> list[str]:
        return [await self._post(number) for number in numbers]

    async def _post(self, number: int) -> str:
        lines = [{"sku": f"SKU-{number % SKUS}", "quantity": 1}]
        body = json.dumps({"lines": lines, "payment_token": "tok_visa", "ship_to": ADDRESS}).encode()
        request = (
            f"POST /orders HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\n"
            f"Content-Type: application/json\r\nIdempotency-Key: {self._run}-{number}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(request.encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
        answer = await reader.readexactly(int(headers["content-length"]))
        if not head[0].startswith("HTTP/1.1 202"):
            raise RuntimeError(f"{head[0]}: {answer.decode()}")
        if headers.get("connection", "") == "close":
            writer.close()
        else:
            self._idle.append((reader, writer))
        order_id: str = json.loads(answer)["id"]
        return order_id


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
    orders = place_of("order").replace("+psycopg", "")
    run = secrets.token_hex(4)
    if verb == "drive-http":
        port = int(place_of("http"))
        await until_ready(port)
        await Driver(Client(port, run).place, orders, at_once=number, ended="fulfilled").serve()
    else:
        await Driver(placing_in_groups(run), orders, at_once=1, group=number, ended="fulfilled").serve()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prepare"]:
            prepare()
        case ["worker", name]:
            become(name, "worker", BROKER_URL=place_of("broker"))
        case ["web"]:
            become(
                "order", "web", PORT=place_of("http"), WEB_THREADS="56", API_KEYS=f"{KEY}:customer:alice", **UNLIMITED
            )
        case [verb, number]:
            asyncio.run(drive(verb, int(number)))
