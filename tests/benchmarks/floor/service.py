"""One service as a process: what it hears is written down, acknowledged and answered, batch by batch."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import psycopg
from pika.adapters.select_connection import IOLoop

from tests.benchmarks.floor.messages import BATCH, Post
from tests.benchmarks.floor.order import ALL, ANSWERS, ASKED, Message, new_ids, new_orders, said
from tests.benchmarks.floor.rows import CLAIMED, Rows

MARK_AFTER = 0.05  # seconds without a batch that could mark confirmed messages along
UNDER_WAY = 1_000  # orders at once when nothing is written down


class Front:
    """The order service's decision, reduced to counting."""

    def __init__(self) -> None:
        self._heard = Counter[str]()

    def answer(self, messages: Sequence[Message]) -> tuple[list[int], list[Message]]:
        """Which answer of its order each message is, and what is asked next."""
        numbers, asked = [], []
        for each in messages:
            number = self._heard[each.order_id] = self._heard[each.order_id] + 1
            numbers.append(number)
            asked += [(kind, each.order_id, each.id) for kind in ASKED.get(number, ())]
            if number == ALL:
                del self._heard[each.order_id]
        return numbers, said(asked)


class Participant:
    """Says yes to everything."""

    def answer(self, messages: Sequence[Message]) -> tuple[list[int], list[Message]]:
        return [], said([(ANSWERS[each.kind], each.order_id, each.id) for each in messages])


def decider(service: str) -> Front | Participant:
    return Front() if service == "order" else Participant()


class Process:
    """The whole of a service, in one thread; `run` does not return."""

    def __init__(self, service: str, broker_url: str, database_url: str, bundle: int = 0) -> None:
        self._answer = decider(service).answer
        self._loop = IOLoop()
        self._rows = Rows(database_url, service)
        self._marking = False
        self._database_url = database_url
        self._post = Post(self._loop, broker_url, service, on_ready=self._listen if service == "order" else nothing,
                          on_heard=self._hear, on_confirmed=self._mark_soon, bundle=bundle)  # fmt: skip

    def run(self) -> None:
        self._loop.start()

    def _hear(self, messages: Sequence[Message]) -> None:
        numbers, answers = self._answer(messages)
        self._rows.keep(messages, numbers, answers, self._confirmed())
        self._post.acknowledge()
        self._post.publish(answers)

    def _confirmed(self) -> list[str]:
        confirmed, self._post.confirmed = self._post.confirmed, []
        return confirmed

    def _mark_soon(self) -> None:
        if not self._marking:
            self._marking = True
            self._loop.call_later(MARK_AFTER, self._mark)

    def _mark(self) -> None:
        self._marking = False
        if confirmed := self._confirmed():
            self._rows.mark(confirmed)

    def _listen(self) -> None:
        self._ear = psycopg.connect(self._database_url, autocommit=True)
        self._ear.execute("LISTEN outbox")
        self._loop.add_handler(self._ear.fileno(), self._rung, IOLoop.READ)
        self._relay()

    def _rung(self, _descriptor: int, _events: int) -> None:
        self._ear.pgconn.consume_input()
        while self._ear.pgconn.notifies():
            pass
        self._relay()

    def _relay(self) -> None:
        """Publish what was placed."""
        while claimed := self._rows.claim():
            self._post.publish(claimed)
            if len(claimed) < CLAIMED:
                break


class Talk:
    """A service that only talks: the messages of so many orders, and nothing is written down."""

    def __init__(self, service: str, broker_url: str, orders: int) -> None:
        self._answer, self._left, self._ended = decider(service).answer, orders, 0
        self._orders, self._loop = orders, IOLoop()
        self._post = Post(self._loop, broker_url, service, on_ready=self._begin if service == "order" else nothing,
                          on_heard=self._hear, on_confirmed=self._forget, bundle=0)  # fmt: skip

    def run(self) -> None:
        """Return when all orders have ended; a participant never knows."""
        self._loop.start()

    def _begin(self) -> None:
        self._ask(min(UNDER_WAY, self._left))

    def _ask(self, count: int) -> None:
        self._left -= count
        self._post.publish(said([(kind, order_id, None) for order_id in new_orders(0, count) for kind in ASKED[0]]))

    def _hear(self, messages: Sequence[Message]) -> None:
        numbers, answers = self._answer(messages)
        self._post.acknowledge()
        self._post.publish(answers)
        ended = numbers.count(ALL)
        self._ended += ended
        if count := min(ended, self._left):
            self._ask(count)
        if ended and self._ended == self._orders:
            self._loop.call_later(0.01, self._loop.stop)

    def _forget(self) -> None:
        self._post.confirmed.clear()


def keep_rows(service: str, database_url: str, orders: int, run: str) -> None:
    """All rows that so many orders leave at a service, batch by batch and step by step, as if it had heard them."""
    decide = decider(service)
    with Rows(database_url, service) as rows:
        for first in range(0, orders, BATCH):
            ids = new_orders(first, min(BATCH, orders - first))
            published: list[Message] = []
            if service == "order":
                rows.place(ids, [f"{run}-{number}" for number in range(first, first + len(ids))])
                while claimed := rows.claim():
                    published += claimed
            for kind in kinds_heard(service):
                heard = [
                    Message(new, kind, order_id, None, b"")
                    for new, order_id in zip(new_ids(len(ids)), ids, strict=True)
                ]
                numbers, answers = decide.answer(heard)
                rows.keep(heard, numbers, answers, [each.id for each in published])
                published = answers
            rows.mark([each.id for each in published])


def kinds_heard(service: str) -> Sequence[str]:
    """What a service hears of an order, in this order."""
    heard = {
        "order": ANSWERS.values(),
        "payment": ("payment.requested", "capture.requested"),
        "inventory": ("stock.requested", "stock.issue_requested"),
        "shipping": ("shipment.requested", "dispatch.requested"),
    }
    return list(heard[service])


def nothing(*_: Any) -> None:
    pass
