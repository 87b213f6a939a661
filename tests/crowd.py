"""Many threads at the same time, and waiting for what they come to."""

import time
from collections.abc import Callable

PATIENCE = 60.0  # seconds, for what takes milliseconds on a machine that has nothing else to do


def wait_for(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Return when the condition holds; fails after so many seconds."""
    until = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.005)
