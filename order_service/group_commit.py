"""Many web threads place orders; one thread commits what they brought together, so that they share one disk write."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from order_service.domain import NewOrder
from order_service.limits import OpenOrders
from order_service.placing import Outcome, place
from order_service.tables import TABLES, idempotency_keys
from order_service.terms import Terms
from shared.clock import Clock
from shared.database import Database, LockTimeout, TransientError, retried
from shared.ids import NewId, uuid7
from shared.messaging.notifier import Notifier

Waiting = tuple[NewOrder, Future[Outcome]]


class InUse(Exception):
    """The same key is being placed by another process this instant."""


class Overloaded(Exception):
    """Too many messages wait to be published; nothing was placed."""


class Closed(Exception):
    """The process is ending; nothing was placed."""


class GroupCommit:
    """Places orders in groups: while one group is being committed, the next one gathers."""

    def __init__(
        self,
        database: Database,
        terms: Terms,
        clock: Clock,
        notifier: Notifier,
        *,
        backlog_limit: int = 50_000,
        open_orders: OpenOrders | None = None,
        largest: int = 200,
        new_id: NewId = uuid7,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`backlog_limit` is the number of unpublished messages beyond which orders are turned away."""
        self._database, self._terms, self._clock, self._notifier = database, terms, clock, notifier
        self._backlog_limit, self._largest, self._new_id = backlog_limit, largest, new_id
        self._monotonic = monotonic
        self._open_orders = open_orders or OpenOrders(0)
        self._waiting: deque[Waiting] = deque()
        self._arrival = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._overloaded, self._counted_at = False, float("-inf")

    def submit(self, order: NewOrder) -> Outcome:
        """Place an order; returns when it is committed. Blocks the calling thread only.

        Raises InUse, Overloaded, Closed, and what the database raises when it is away; then nothing is known to be
        placed, and sending the same order with the same key again is safe.
        """
        answer: Future[Outcome] = Future()
        with self._arrival:
            if self._closed:
                raise Closed
            if self._thread is None:  # not before: a web server may fork after building the application
                self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
                self._thread.start()
            self._waiting.append((order, answer))
            self._arrival.notify()
        return answer.result()

    def close(self) -> None:
        """Commit what was submitted, and end."""
        with self._arrival:
            self._closed = True
            self._arrival.notify()
            thread = self._thread
        if thread:
            thread.join()

    def _run(self) -> None:
        while group := self._gather():
            try:
                if self._is_overloaded():
                    raise Overloaded
                outcomes = self._commit([order for order, _ in group])
            except Exception as error:
                self._one_by_one(group, error)
            else:
                for (_, answer), outcome in zip(group, outcomes, strict=True):
                    answer.set_result(outcome)

    def _gather(self) -> list[Waiting]:
        """What is there, without lingering; waits for the first. Empty when closed and done."""
        with self._arrival:
            while not self._waiting and not self._closed:
                self._arrival.wait()
            return [self._waiting.popleft() for _ in range(min(self._largest, len(self._waiting)))]

    def _commit(self, orders: Sequence[NewOrder]) -> Sequence[Outcome]:
        outcomes = retried(lambda: self._place(orders))
        self._notifier.notify()
        return outcomes

    def _place(self, orders: Sequence[NewOrder]) -> Sequence[Outcome]:
        with self._database.batch() as connection:
            self._open_orders.look(connection)
            now, let_in = self._clock.now(connection), self._open_orders.let_in
            return place(connection, now, orders, self._terms, self._new_id, let_in)

    def _one_by_one(self, group: Sequence[Waiting], error: Exception) -> None:
        """One order must not fail the others; but when the database is away, it is away for all."""
        for order, answer in group:
            if len(group) > 1 and not _for_all(error):
                try:
                    (outcome,) = self._commit([order])
                except Exception as its_own:
                    error = its_own
                else:
                    answer.set_result(outcome)
                    continue
            answer.set_exception(InUse() if _is_for_key(error) else error)

    def _is_overloaded(self) -> bool:
        """Whether the backlog is too long, counted at most once a second."""
        if self._monotonic() - self._counted_at >= 1.0:
            with self._database.reading() as connection:
                self._overloaded = TABLES.outbox.backlog(connection, self._backlog_limit + 1) > self._backlog_limit
            self._counted_at = self._monotonic()
        return self._overloaded


def _for_all(error: BaseException) -> bool:
    """The fault lies with no single order."""
    return isinstance(error, Overloaded | TransientError) and not _is_for_key(error)


def _is_for_key(error: BaseException) -> bool:
    """Another transaction is placing one of these keys; whoever locks a whole table holds up all orders alike."""
    return isinstance(error, LockTimeout) and error.is_for_key_in(idempotency_keys.name)
