"""Places orders from a process of its own: `python -m tests.benchmarks.load '{"run": "a1", "orders": 1000, …}'`.

Prints {"due": [moment of each order], "taken": [moment of its answer], "cpu": seconds}. With a rate, an order is due at
its time whether or not earlier ones have been answered; without, as soon as a connection is free and less than
`outstanding` are under way.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from order_service.domain import NewOrder, Wish
from order_service.fulfillment.workflow import newest
from order_service.placing import place
from order_service.terms import Terms
from shared.database import Database
from shared.messaging.notifier import Notifier
from tests.benchmarks.system import SKUS, TOKEN, UnderWay

TERMS = Terms(flow=newest(), currency="EUR", approval_from=50_000)
ADDRESS = {
    "name": "Ada Lovelace",
    "line1": "12 Analytical Row",
    "city": "Berlin",
    "postal_code": "10115",
    "country": "DE",
}
LOOK = 0.01  # seconds between looks at how many are under way; longer when there are thousands to be counted


@dataclass(frozen=True, kw_only=True)
class Load:
    """What to place and how. `group` orders in a transaction, through the placing function; 0: each by its own POST."""

    run: str  # makes the idempotency keys unique
    database_url: str
    url: str = ""
    orders: int = 1000
    rate: float = 0.0  # orders per second; 0: as many as end
    outstanding: int = 1000
    connections: int = 50
    group: int = 50
    lines: int = 1
    skus: int = SKUS  # 1: everybody wants the same
    read: Sequence[str] = ()  # nothing is placed: these paths are read instead, in turn

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    def wishes(self, number: int) -> list[dict[str, str | int]]:
        return [{"sku": f"SKU-{(number + line) % self.skus}", "quantity": 1} for line in range(self.lines)]


class Places:
    """How many more orders may be placed."""

    def __init__(self, load: Load, under_way: UnderWay) -> None:
        self._under_way = under_way
        self._load, self._free = load, load.outstanding
        self._pause = max(min(LOOK, load.outstanding / 2_000), LOOK * load.outstanding / 1_000)

    def take(self, most: int) -> int:
        """Take at most so many, at least one; waits until there is room."""
        while not self._free:
            self._free = max(0, self._load.outstanding - self._under_way.count())
            if not self._free:
                time.sleep(self._pause)
        taken = min(most, self._free)
        self._free -= taken
        return taken


def in_groups(load: Load) -> tuple[list[float], list[float]]:
    """Through the placing function, as the Order API's committing thread does with requests that come at once."""
    due: list[float] = []
    taken: list[float] = []
    with (
        Database(load.database_url) as database,
        closing(Notifier(database)) as notifier,
        UnderWay(load.database_url) as under_way,
    ):
        places = Places(load, under_way)
        began = time.time()
        while len(due) < load.orders:
            if load.rate:
                time.sleep(max(0.0, began + len(due) / load.rate - time.time()))
                late = int((time.time() - began) * load.rate) + 1 - len(due)
                count = min(max(1, late), load.group, load.orders - len(due))
                due += [began + number / load.rate for number in range(len(due), len(due) + count)]
            else:
                count = places.take(min(load.group, load.orders - len(due)))
                due += [time.time()] * count
            wanted = [new_order(load, number) for number in range(len(due) - count, len(due))]
            with database.batch() as connection:
                place(connection, datetime.now(UTC), wanted, TERMS)
            notifier.notify()
            taken += [time.time()] * count
    return due, taken


def new_order(load: Load, number: int) -> NewOrder:
    return NewOrder(
        principal="customer:alice",
        customer_id="alice",
        path="/orders",
        key=f"{load.run}-{number}",
        body_hash="b" * 64,
        lines=[Wish(**wish) for wish in load.wishes(number)],  # type: ignore[arg-type]
        payment_token="tok_visa",
        ship_to=ADDRESS,
    )


class Client:
    """Connections to the Order API that stay open, one for each request under way."""

    def __init__(self, load: Load) -> None:
        self.load = load
        host, _, port = load.url.removeprefix("http://").partition(":")
        self._address = host, int(port)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.due: list[float] = [0.0] * load.orders
        self.taken: list[float] = [0.0] * load.orders

    async def at_rate(self) -> None:
        began = time.time() + 0.05
        allowed = asyncio.Semaphore(self.load.connections)

        async def post(number: int) -> None:
            async with allowed:
                await self.post(number)

        async with asyncio.TaskGroup() as group:
            for number in range(self.load.orders):
                self.due[number] = began + number / self.load.rate
                await asyncio.sleep(max(0.0, self.due[number] - time.time()))
                group.create_task(post(number))

    async def saturating(self) -> None:
        numbers = iter(range(self.load.orders))

        async def lane() -> None:
            for number in numbers:
                self.due[number] = time.time()
                await self.post(number)

        await asyncio.gather(*(lane() for _ in range(self.load.connections)))

    def _request(self, number: int) -> bytes:
        who = f"Host: bench\r\nAuthorization: Bearer {TOKEN}\r\n"
        if self.load.read:
            return f"GET {self.load.read[number % len(self.load.read)]} HTTP/1.1\r\n{who}\r\n".encode()
        body = json.dumps(
            {"lines": self.load.wishes(number), "payment_token": "tok_visa", "ship_to": ADDRESS}, separators=(",", ":")
        )
        head = (
            f"POST /orders HTTP/1.1\r\n{who}"
            f"Content-Type: application/json\r\nIdempotency-Key: {self.load.run}-{number}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return (head + body).encode()

    async def post(self, number: int) -> bytes:
        """The answer's body; raises RuntimeError when the API refuses."""
        head, answer = await self._exchange(self._request(number))
        if not head.startswith((b"http/1.1 202", b"http/1.1 200")):
            raise RuntimeError(f"{head.decode()}{answer.decode()}")
        if self.load.orders:
            self.taken[number] = time.time()

    async def _exchange(self, request: bytes) -> tuple[bytes, bytes]:
        """The answer's head, in small letters, and its body. A connection that was closed while it lay idle is left."""
        while True:
            kept = bool(self._idle)
            reader, writer = self._idle.pop() if kept else await asyncio.open_connection(*self._address)
            try:
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                break
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                writer.close()
                if not kept or getattr(error, "partial", b""):
                    raise
        answer = await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r")[0]))
        if b"connection: close" in head:
            writer.close()
        else:
            self._idle.append((reader, writer))
        return head, answer


def by_http(load: Load) -> tuple[Sequence[float], Sequence[float]]:
    """Each order by a POST of its own."""
    client = Client(load)
    asyncio.run(client.at_rate() if load.rate else client.saturating())
    return client.due, client.taken


if __name__ == "__main__":
    given = Load(**json.loads(sys.argv[1]))
    used = time.process_time()
    due, taken = in_groups(given) if given.group else by_http(given)
    print(json.dumps({"due": due, "taken": taken, "cpu": time.process_time() - used}))
