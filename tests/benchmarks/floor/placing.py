"""Places orders in groups from a process of its own, by bare psycopg: `python -m tests.benchmarks.floor.placing '{…}'`.

Takes and prints what `tests.benchmarks.load` does.
"""

import json
import sys
import time

from tests.benchmarks.floor.order import new_orders
from tests.benchmarks.floor.rows import Rows
from tests.benchmarks.load import Load, Places
from tests.benchmarks.system import UnderWay, plain


def place_all(load: Load) -> list[float]:
    """Place them, as many as end; returns the moment at which each was due."""
    due: list[float] = []
    with Rows(plain(load.database_url), "order") as rows, UnderWay(load.database_url) as under_way:
        places = Places(load, under_way)
        while len(due) < load.orders:
            count = places.take(min(load.group, load.orders - len(due)))
            due += [time.time()] * count
            first = len(due) - count
            rows.place(new_orders(first, count), [f"{load.run}-{number}" for number in range(first, len(due))])
            rows.notify()
    return due


if __name__ == "__main__":
    used = time.process_time()
    due = place_all(Load(**json.loads(sys.argv[1])))
    print(json.dumps({"due": due, "taken": due, "cpu": time.process_time() - used}))
