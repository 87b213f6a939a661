"""How much one caller may ask for: requests a second, threads at a time, wrong tokens a minute from one address.

Each web process counts for itself.
"""

import math
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable

MOST_KNOWN = 10_000  # callers remembered; beyond, those that were silent for longest are forgotten


class Rate:
    """Token buckets by caller: so many a second, and `burst` at once after a silence. A rate of 0 limits nothing."""

    def __init__(self, a_second: float, burst: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._monotonic = a_second, burst, monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what is left, and when that was
        self._lock = threading.Lock()

    def take(self, who: str) -> int:
        """0 when it may go on, otherwise the seconds to wait, at least 1."""
        if not self._rate:
            return 0
        now = self._monotonic()
        with self._lock:
            left, then = self._buckets.pop(who, (self._burst, now))
            left = min(self._burst, left + (now - then) * self._rate)
            wait = 0 if left >= 1 else math.ceil((1 - left) / self._rate)
            self._buckets[who] = (left if wait else left - 1, now)
            if len(self._buckets) > MOST_KNOWN:
                self._buckets.popitem(last=False)
        return wait


class Share:
    """How many of some places each caller holds; at most `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, who: str) -> bool:
        """Take a place, if the caller does not hold its share already."""
        with self._lock:
            if self._held[who] >= self._most:
                return False
            self._held[who] += 1
            return True

    def give_back(self, who: str) -> None:
        with self._lock:
            self._held[who] -= 1
            if self._held[who] <= 0:
                del self._held[who]
