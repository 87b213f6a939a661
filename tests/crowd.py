"""Many threads at the same time, and waiting for what they come to."""

import threading
from collections.abc import Callable

PATIENCE = 10.0  # seconds, for what takes milliseconds


def wait_for(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.005)):
        if condition():
            return
        pause.wait(0.005)
    raise AssertionError("it did not come to pass")
