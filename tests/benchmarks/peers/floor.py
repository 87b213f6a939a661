"""The floor as a contestant: the same messages and rows as ours, by bare pika and bare psycopg, and no service."""

import asyncio
import secrets
import sys
from collections.abc import Sequence

from tests.benchmarks.floor.order import new_orders
from tests.benchmarks.floor.rows import Rows
from tests.benchmarks.floor.service import Process
from tests.benchmarks.peers.driver import Driver, Place, in_threads
from tests.benchmarks.peers.ours import prepare
from tests.benchmarks.peers.work import place_of
from tests.benchmarks.system import plain


def placing_in_groups(database_url: str) -> Place:
    rows, run = Rows(database_url, "order"), secrets.token_hex(4)

    def place_all(numbers: Sequence[int]) -> list[str]:
        ids = new_orders(numbers[0], len(numbers))
        rows.place(ids, [f"{run}-{number}" for number in numbers])
        rows.notify()
        return ids

    return in_threads(place_all, 1)


async def drive(group: int) -> None:
    orders = plain(place_of("order"))
    await Driver(placing_in_groups(orders), orders, at_once=1, group=group, ended="fulfilled").serve()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prepare"]:
            prepare()
        case ["worker", name, *bundle]:
            Process(name, place_of("broker"), plain(place_of(name)), int(*bundle)).run()
        case ["drive-group", group]:
            asyncio.run(drive(int(group)))
