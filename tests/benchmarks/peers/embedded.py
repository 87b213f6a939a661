"""This project in one process, on SQLite and the embedded broker, as a contestant: it drives itself.

python -m tests.benchmarks.peers.embedded drive
"""

import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from shared.bootstrap import collecting_seldom
from tests.benchmarks.embedded import GROUP, Shop


def serve() -> None:
    """Drive, line by line, as `driver` does, until the input ends."""
    with tempfile.TemporaryDirectory(prefix="bench") as folder, ExitStack() as stack:
        shop = Shop(Path(folder), stack)
        stack.enter_context(collecting_seldom())
        print("ready", flush=True)
        for line in sys.stdin:
            print(json.dumps(drive(shop, **json.loads(line))), flush=True)


def drive(shop: Shop, seconds: float, rate: float, outstanding: float) -> dict[str, Any]:
    """One load. `ended` is when each order's end was committed, for there is no server to be asked."""
    cpu, began = time.process_time(), time.time()
    placed: dict[str, float] = {}
    if rate:
        placed |= shop.place_at(int(seconds * rate), rate)
    while not rate and time.time() < began + seconds:
        shop.wait(int(outstanding) - GROUP, pause=0.02)
        due = time.time()
        placed |= dict.fromkeys(shop.place(GROUP), due)
    stopped = time.time()
    shop.wait()
    ended = {order_id: shop.broker.heard[order_id] for order_id in placed}
    return {"placed": placed, "ended": ended, "cpu": time.process_time() - cpu, "began": began, "stopped": stopped}


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["drive"]:
            serve()
