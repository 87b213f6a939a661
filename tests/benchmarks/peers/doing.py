"""Doing a step, by psycopg in threads or by asyncpg on a loop: prepared statements, autocommit, open connections."""

import threading
from typing import Any

from tests.benchmarks.peers.work import Order, Step, place_of

_connections = threading.local()


def do(step: Step, order: Order) -> None:
    """In a thread: one statement on this thread's own connection to the service's database."""
    import psycopg

    known: dict[str, Any] = _connections.__dict__.setdefault("by_url", {})
    connection = known.get(url := place_of(step.service))
    if connection is None:
        connection = known[url] = psycopg.connect(url, autocommit=True, prepare_threshold=0)
        connection.cursor_factory = psycopg.RawCursor
    connection.execute(step.sql, step.takes(order))


class Pools:
    """On a loop: one pool of connections to each database of these services."""

    def __init__(self, *services: str, size: int) -> None:
        self._services, self._size = services, size
        self._pools: dict[str, Any] = {}

    async def open(self) -> None:
        import asyncpg

        for url in {place_of(name) for name in self._services}:
            # Nothing is left behind on a connection that would have to be reset, which costs a round trip.
            self._pools[url] = await asyncpg.create_pool(url, min_size=self._size, max_size=self._size, reset=_nothing)

    async def do(self, step: Step, order: Order) -> None:
        await self._pools[place_of(step.service)].execute(step.sql, *step.takes(order))


async def _nothing(connection: Any) -> None:
    pass
