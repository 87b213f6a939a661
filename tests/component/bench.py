"""A service's real consumer on a real database, without a broker: batches go in, facts come out."""

import logging
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import event

from shared import contracts
from shared.clock import SystemClock
from shared.config import load
from shared.database import Database, TransientError
from shared.ids import uuid7
from shared.messaging.broker import Delivery
from shared.messaging.consumer import Consumer
from shared.messaging.envelope import Envelope, Message, enclose
from shared.messaging.handling import Handling
from shared.migrate import migrate
from shared.service import Service

CLASSES = {each.type: each for each in vars(contracts).values() if isinstance(each, type) and hasattr(each, "type")}


def order_id(number: int) -> str:
    """The id of a test's order number so-and-so."""
    return str(UUID(int=7 << 76 | 2 << 62 | number))


class Bench:
    """One service on one database. Every message delivered has an id of its own, unless an envelope is given."""

    def __init__(self, service: Service, url: str, *, handling: Handling | None = None, seed: bool = False) -> None:
        self.service, self.database, self.clock = service, Database(url), SystemClock()
        migrate(service, self.database, seed=seed)
        handling = handling or service.handling(load(service=service.name, environ={}), self.database)
        self.consumer = self.another(handling)
        self.published: list[str] = []

    def another(self, handling: Handling, letter_limit: int = 1_000) -> Consumer:
        """One more consumer of the same service and database."""
        tables, entropy = self.service.tables, random.Random().getrandbits
        return Consumer(
            handling,
            tables,
            self.database,
            clock=self.clock,
            new_id=lambda at: uuid7(at, entropy),
            body_limit=262_144,
            letter_limit=letter_limit,
        )

    def now(self) -> datetime:
        with self.database.reading() as connection:
            return self.clock.now(connection)

    def enclose(self, message: Message) -> Envelope:
        return enclose(message, at=self.now(), new_id=uuid7)

    def deliver(self, *messages: Message | Envelope) -> list[Any]:
        """Work these messages as one batch; returns what the service says, and marks it as published in the next."""
        said = self.consumer.work(self.deliveries(messages), self.published)
        self.published = [each.id for each in said]
        return [open_envelope(each) for each in said]

    def deliveries(self, messages: Sequence[Message | Envelope]) -> list[Delivery]:
        envelopes = [each if isinstance(each, Envelope) else self.enclose(each) for each in messages]
        return [Delivery(envelope=each, tag=tag) for tag, each in enumerate(envelopes)]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What an SQL query finds."""
        with self.database.reading() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]

    def buried(self) -> list[str]:
        """Why messages were put aside, the oldest first."""
        with self.database.reading() as connection:
            return [row["reason"] for row in self.service.tables.dead_letters.find(connection)]

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """The SQL statements sent meanwhile by this thread; BEGIN and COMMIT are not counted."""
        sent: list[str] = []
        own = threading.get_ident()

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if threading.get_ident() == own and not statement.startswith("BEGIN"):
                sent.append(statement)

        pipelined = logging.Handler()
        pipelined.addFilter(lambda record: record.thread == own)
        pipelined.emit = lambda record: sent.append(record.getMessage())  # type: ignore[method-assign]
        logger = logging.getLogger("fulfillment.statements")
        before = logger.level
        logger.addHandler(pipelined)
        logger.setLevel(logging.DEBUG)
        event.listen(self.database.engine, "before_cursor_execute", note)
        try:
            yield sent
        finally:
            event.remove(self.database.engine, "before_cursor_execute", note)
            logger.setLevel(before)
            logger.removeHandler(pipelined)

    def close(self) -> None:
        self.database.dispose()


def persist(consumer: Consumer, deliveries: Sequence[Delivery]) -> list[Envelope]:
    """Work a batch as a worker does: held through bad weather and tried again."""
    while True:
        try:
            return consumer.work(deliveries)
        except TransientError:
            continue


def open_envelope(envelope: Envelope) -> Any:
    """The message inside."""
    return msgspec.json.decode(envelope.body, type=CLASSES[envelope.type])
