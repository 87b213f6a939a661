"""How many orders stand where, for all boards of a process: counted anew as often as it is cheap."""

import time
from collections.abc import Mapping
from threading import Lock

from sqlalchemy import Connection

from order_service.fulfillment.saga import OrderStatus
from order_service.queries import count_orders

REST = 20  # times as long as it took, counting rests: it has a twentieth of a thread's time at most


class Counts:
    """For any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counted: Mapping[OrderStatus, int] = {}
        self._again_at = 0.0

    def all(self, connection: Connection) -> Mapping[OrderStatus, int]:
        """The counts, up to half a second old while there are few orders, and older when there are very many."""
        with self._lock:
            began = time.monotonic()
            if began >= self._again_at:
                self._counted = count_orders(connection)
                took = time.monotonic() - began
                self._again_at = began + max(0.5, REST * took)
            return self._counted
