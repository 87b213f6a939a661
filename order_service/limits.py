"""How many orders a customer may have under way."""

import time
from collections import Counter
from collections.abc import Callable

from sqlalchemy import func, select

from order_service.tables import awake, orders, sagas
from shared.database import Transaction

EVERY = 1.0  # seconds between two countings, or more where counting takes long: it has a share of the time
SHARE = 0.05

_count = (
    select(orders.c.customer_id, func.count())
    .join(sagas, sagas.c.order_id == orders.c.id)
    .where(awake)
    .group_by(orders.c.customer_id)
)


class OpenOrders:
    """Counts the orders under way, of all customers together and now and then; those that it lets in meanwhile are
    added. So a customer may exceed the limit by what other processes let in within a second. For one thread."""

    def __init__(self, limit: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        """A `limit` of 0 is none."""
        self.limit, self._monotonic = limit, monotonic
        self._open = Counter[str]()
        self._due_at = float("-inf")

    def look(self, connection: Transaction) -> None:
        """Count anew if it is time to."""
        began = self._monotonic()
        if self.limit and began >= self._due_at:
            self._open = Counter(dict(connection.execute(_count)))
            ended = self._monotonic()
            self._due_at = ended + max(EVERY, (ended - began) / SHARE)

    def let_in(self, customer_id: str) -> bool:
        """Whether the customer may have one more, which then counts."""
        if self.limit and self._open[customer_id] >= self.limit:
            return False
        self._open[customer_id] += 1
        return True
