"""Places orders at a contestant, at a rate or as fast as they end, on orders that come in line by line as JSON.

In: {"seconds": 5, "rate": 50} or {"seconds": 5, "outstanding": 64}. Out, when all have ended: {"placed": {id: moment},
"cpu": seconds of this process, "stopped": moment}. A moment is the time of day at which it was due, in seconds.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg

LOOK = 0.02  # seconds between looks at what has ended, when orders wait for that
PATIENCE = 60.0  # seconds without any end
Place = Callable[[Sequence[int]], Awaitable[Sequence[str]]]  # numbers of new orders to their ids


class Stuck(Exception):
    """Orders do not end."""


def in_threads(place: Callable[[Sequence[int]], Sequence[str]], threads: int) -> Place:
    """A placing that blocks, for as many threads at once."""
    pool = ThreadPoolExecutor(threads)

    async def placing(numbers: Sequence[int]) -> Sequence[str]:
        return await asyncio.get_running_loop().run_in_executor(pool, place, numbers)

    return placing


class Driver:
    """`place` is called `at_once` times at once, with up to `group` orders; `ended` is the status of an order's end."""

    def __init__(self, place: Place, orders_url: str, *, at_once: int, group: int = 1, ended: str = "complete") -> None:
        self._place, self._at_once, self._group, self._ended = place, at_once, group, ended
        self._orders = psycopg.connect(orders_url, autocommit=True)
        self._number = 0

    async def serve(self) -> None:
        """Drive, line by line, until the input ends."""
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await self.drive(**json.loads(line))), flush=True)

    async def drive(self, *, seconds: float, rate: float = 0, outstanding: int = 0) -> dict[str, Any]:
        self._placed: dict[str, float] = {}
        self._under_way: set[str] = set()
        self._free, self._news = outstanding, asyncio.Event()
        cpu, began = time.process_time(), time.time()
        if rate:
            await self._at_rate(began, seconds, rate)
        else:
            watching = asyncio.create_task(self._watch())
            await asyncio.gather(*(self._lane(began + seconds) for _ in range(self._at_once)))
            watching.cancel()
        stopped = time.time()
        await self._all_ended()
        return {"placed": self._placed, "cpu": time.process_time() - cpu, "began": began, "stopped": stopped}

    async def _at_rate(self, began: float, seconds: float, rate: float) -> None:
        async def place(due: float) -> None:
            async with allowed:
                await self._place_now(1, due)

        allowed = asyncio.Semaphore(self._at_once)
        async with asyncio.TaskGroup() as group:
            for number in range(int(seconds * rate)):
                due = began + number / rate
                await asyncio.sleep(max(0.0, due - time.time()))
                group.create_task(place(due))

    async def _lane(self, until: float) -> None:
        while time.time() < until:
            if self._free >= self._group:
                self._free -= self._group
                await self._place_now(self._group)
            else:
                self._news.clear()
                await self._news.wait()

    async def _place_now(self, count: int, due: float | None = None) -> None:
        numbers = range(self._number, self._number + count)
        self._number += count
        now = time.time() if due is None else due
        ids = await self._place(numbers)
        self._placed.update(dict.fromkeys(ids, now))
        self._under_way.update(ids)

    async def _watch(self) -> None:
        heard = time.monotonic()
        while True:
            await asyncio.sleep(LOOK)
            ended = await asyncio.to_thread(self._look)
            self._under_way -= ended
            self._free += len(ended)
            if ended or not self._under_way:
                heard = time.monotonic()
            elif time.monotonic() - heard > PATIENCE:
                raise Stuck(f"{len(self._under_way)} orders under way")
            self._news.set()

    async def _all_ended(self) -> None:
        heard = time.monotonic()
        while self._under_way:
            if ended := await asyncio.to_thread(self._look):
                self._under_way -= ended
                heard = time.monotonic()
            if time.monotonic() - heard > PATIENCE:
                raise Stuck(f"{len(self._under_way)} orders under way")
            await asyncio.sleep(LOOK)

    def _look(self) -> set[str]:
        known = "SELECT id::text FROM orders WHERE id = ANY(%s::uuid[]) AND status = %s"
        return {row[0] for row in self._orders.execute(known, [list(self._under_way), self._ended])}
