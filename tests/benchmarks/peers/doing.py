"""Doing a step, by psycopg in threads or by asyncpg on a loop: prepared statements, autocommit, open connections."""

import threading
from typing import Any

from tests.benchmarks.peers.work import Order, Step, place_of

_connections = threading.local()


def do(step: Step, order: Order) -> None:
    """In a thread: one statement on this thread's own connection to the service's database."""
    import psycopg

    connection = getattr(_connections, step.service, None)
    if connection is None:
        connection = psycopg.connect(place_of(step.service), autocommit=True, prepare_threshold=0)
        connection.cursor_factory = psycopg.RawCursor
        setattr(_connections, step.service, connection)
    connection.execute(step.sql, step.takes(order))


class Pools:
    """On a loop: one pool of connections to each of these services' databases."""

    def __init__(self, *services: str, size: int) -> None:
        self._services, self._size = services, size
        self._pools: dict[str, Any] = {}

    async def open(self) -> None:
        import asyncpg

        for name in self._services:
            # Nothing is left behind on a connection that would have to be reset, which costs a round trip.
            self._pools[name] = await asyncpg.create_pool(
                place_of(name), min_size=self._size, max_size=self._size, reset=_nothing
            )

    async def do(self, step: Step, order: Order) -> None:
        await self._pools[step.service].execute(step.sql, *step.takes(order))


async def _nothing(connection: Any) -> None:
    pass
