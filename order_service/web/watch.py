"""Waiting for news of an order: any number of callers, one look at the database ten times a second."""

import threading
import time
from collections import Counter
from collections.abc import Callable

from order_service.queries import versions
from shared.database import TRANSIENT, Database

PACE = 0.1  # seconds between looks while somebody waits


class Watch:
    """Holds at most `most` callers at a time, each in its own thread, until their order has news."""

    def __init__(self, database: Database, *, most: int, stopping: Callable[[], bool] = lambda: False) -> None:
        self._database, self._stopping = database, stopping
        self._slots = threading.BoundedSemaphore(most)
        self._waited_for: Counter[str] = Counter()
        self._seen: dict[str, int] = {}
        self._news = threading.Condition()
        self._looking = self._closed = False
        self._looker: threading.Thread | None = None

    def wait(self, order_id: str, version: int, seconds: float) -> bool:
        """Return as soon as the order has a later version than `version`, or after `seconds`.

        False, at once, when too many are waiting already. Returns early when the server stops, the database is away or
        the watch is closed.
        """
        if not self._slots.acquire(blocking=False):
            return False
        end = time.monotonic() + seconds
        try:
            with self._news:
                self._waited_for[order_id] += 1
                if not self._looking:
                    self._looking = True
                    self._looker = threading.Thread(target=self._look, name="watch", daemon=True)
                    self._looker.start()
                while self._looking and self._seen.get(order_id, version) <= version and not self._stopping():
                    if (left := end - time.monotonic()) <= 0:
                        break
                    self._news.wait(left)
        finally:
            self._forget(order_id)
            self._slots.release()
        return True

    def close(self) -> None:
        """Let nobody wait any more, and look no more."""
        with self._news:
            self._closed = True
            looker = self._looker
        if looker:
            looker.join()

    def _forget(self, order_id: str) -> None:
        with self._news:
            self._waited_for[order_id] -= 1
            if not self._waited_for[order_id]:
                del self._waited_for[order_id]
                self._seen.pop(order_id, None)

    def _look(self) -> None:
        """Tell the waiting of new versions, until nobody waits any more or the watch is closed."""
        try:
            while wanted := self._still_wanted():
                with self._database.reading() as connection:
                    found = versions(connection, wanted)
                with self._news:
                    self._seen = {each: number for each, number in found.items() if each in self._waited_for}
                    self._news.notify_all()
                time.sleep(PACE)
        except Exception as error:
            with self._news:  # those who wait return, and meet the weather themselves
                self._looking = False
                self._news.notify_all()
            if not isinstance(error, TRANSIENT):
                raise

    def _still_wanted(self) -> list[str]:
        with self._news:
            self._looking = bool(self._waited_for) and not self._closed
            if self._looking:
                return list(self._waited_for)
            self._news.notify_all()
            return []
