"""A thread that only looks: when a batch hangs, it ends the process."""

import logging
import os
import threading
from collections.abc import Callable

log = logging.getLogger("fulfillment.worker")

HANGING = 75  # the exit code: a temporary failure, start me again


def watch(name: str, alive: Callable[[], bool], stop: threading.Event, interval: float = 1.0) -> threading.Thread:
    """Ask `alive` once in so many seconds, until `stop`. When it says no, the process ends at once with exit code 75:
    its messages go to another worker, which works them alone."""

    def look() -> None:
        while not stop.wait(interval):
            if not alive():
                log.critical("%s: a batch hangs; the process ends so that its messages go to another", name)
                logging.shutdown()
                os._exit(HANGING)

    thread = threading.Thread(target=look, name="watchdog", daemon=True)
    thread.start()
    return thread
