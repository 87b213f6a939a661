"""The one rule: inbox, state, history and outbox in one transaction per batch; only then is a message acknowledged."""

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from shared.clock import Clock
from shared.database import TRANSIENT, Database, Transaction
from shared.ids import NewId
from shared.messaging.broker import Delivery
from shared.messaging.durability.outbox import LEFT_BEHIND
from shared.messaging.durability.tables import Tables
from shared.messaging.envelope import MESSAGE_ID, Envelope, Message, Reader, Unreadable, enclose
from shared.messaging.handling import Answers, Call, Handling, Stop, UnitOfWork, Unprocessable

log = logging.getLogger("fulfillment.consumer")

CALL_ROUNDS = 4  # an undo of work in doubt takes two: the work's own call again, then the call that undoes it


Request = tuple[Delivery, Any]
Letter = tuple[Delivery, str]


class Batch(NamedTuple):
    """What goes through one transaction."""

    requests: Sequence[Request]
    letters: Sequence[Letter]  # could not even be read
    answers: Answers
    published: Collection[str]


class Consumer:
    """Works batches of deliveries for one service on one database."""

    def __init__(
        self, handling: Handling, tables: Tables, database: Database, *, clock: Clock, new_id: NewId, body_limit: int
    ) -> None:
        self.handling, self.tables, self.database, self.clock, self.new_id = handling, tables, database, clock, new_id
        self._reader = Reader({known.type: known for known in handling.handlers}, body_limit)

    def work(self, deliveries: Sequence[Delivery], published: Collection[str] = ()) -> list[Envelope]:
        """Do what a batch asks, in one transaction; returns the committed messages, which are now to be published.

        `published` are confirmed outbox ids to mark along. A message that cannot be read, or whose handler fails, is
        kept as a dead letter in the same transaction, the others are done. Raises TRANSIENT with nothing done.
        """
        requests, letters = self._read(deliveries)
        batch = Batch(requests, letters, self._consult(requests), published)
        try:
            return self._commit(batch)
        except (Stop, *TRANSIENT):
            raise
        except Exception as error:
            log.warning("a message of a batch of %d fails, each is worked alone: %r", len(deliveries), error)
            return self._commit_alone(batch)

    def advance(self, most: int) -> list[Envelope]:
        """Do what time asks, for at most `most` things; returns the committed messages."""
        if self.handling.due is None:
            return []
        with self.database.batch() as connection:
            now = self.clock.now(connection)
            said = self._enclose(self.handling.due(connection, now, most), now, None)
            self.tables.outbox.add(connection, said, now + LEFT_BEHIND)
        return said

    def _read(self, deliveries: Sequence[Delivery]) -> tuple[list[Request], list[Letter]]:
        requests: list[Request] = []
        letters: list[Letter] = []
        for delivery in deliveries:
            try:
                if delivery.death:
                    raise Unreadable(f"broker: {delivery.death}")
                if not MESSAGE_ID.fullmatch(delivery.envelope.id):
                    raise Unreadable("malformed: the message id is not a UUID")
                requests.append((delivery, self._reader.open(delivery.envelope)))
            except Unreadable as error:
                letters.append((delivery, str(error)))
        return requests, letters

    def _consult(self, requests: Sequence[Request]) -> Answers:
        """Commit the intents of those that need the outside, then ask it, in rounds, until nothing is left to ask."""
        answers: dict[str, Any] = {}
        asking = [each for each in requests if type(each[1]) in self.handling.calls]
        for _ in range(CALL_ROUNDS if asking and self.handling.ask else 0):
            calls: dict[str, Call] = {}
            waiting = self._intend(asking, answers, calls)
            if not calls:
                break
            assert self.handling.ask is not None
            answers |= dict.fromkeys(calls) | dict(self.handling.ask(list(calls.values())))
            asking = [request for request, work in waiting if self._asks_on(request, work, answers)]
            if not asking:
                break
        return answers

    def _intend(
        self, requests: Sequence[Request], answers: Answers, calls: dict[str, Call]
    ) -> list[tuple[Request, UnitOfWork]]:
        """Let the handlers note what they are about to ask, in `calls` too; returns the requests that wait for it."""
        try:
            with self.database.batch() as connection:
                work = self.handling.load(connection, [m for _, m in requests], self.clock.now(connection), answers)
                asked = {request[0].envelope.id: (request, self._asks(request, work, answers)) for request in requests}
                new = {call.key: call for _, call in asked.values() if call}
                if new:
                    work.flush()
            calls.update(new)
            return [(request, work) for request, call in asked.values() if call]
        except (Stop, *TRANSIENT):
            raise
        except Exception:
            if len(requests) == 1:
                return []  # it fails again when it is worked, and is buried there with its reason
            return [each for request in requests for each in self._intend([request], answers, calls)]

    def _asks_on(self, request: Request, work: UnitOfWork, answers: Answers) -> bool:
        try:
            return self._asks(request, work, answers) is not None
        except Exception:
            log.exception("message %s fails, and will be put aside", request[0].envelope.id)
            return False

    def _asks(self, request: Request, work: UnitOfWork, answers: Answers) -> Call | None:
        """What must be asked of the outside for this request, as its handler leaves the rows in memory."""
        delivery, message = request
        work.cause = delivery.envelope
        self.handling.handlers[type(message)](message, work)
        call: Call | None = self.handling.calls[type(message)](message, work)
        return call if call and call.key not in answers else None

    def _commit(self, batch: Batch) -> list[Envelope]:
        """The transaction."""
        with self.database.batch() as connection:
            now, buried, said = self.clock.now(connection), list(batch.letters), list[Envelope]()
            if batch.requests:
                taken = self._take(connection, batch, now)  # read when the rows are: they come together
                work = self.handling.load(connection, [message for _, message in batch.requests], now, batch.answers)
                said = self._handle(work, self._fresh(batch, taken), now, buried)
            self._keep(connection, batch, said, buried, now)
        return self._told(said, buried)

    def _commit_alone(self, batch: Batch) -> list[Envelope]:
        """The transaction, where each message has a savepoint of its own, and the failing ones are buried."""
        with self.database.transaction() as connection:
            now, buried, said = self.clock.now(connection), list(batch.letters), list[Envelope]()
            for request in self._fresh(batch, self._take(connection, batch, now)):
                try:
                    with connection.begin_nested():
                        work = self.handling.load(connection, [request[1]], now, batch.answers)
                        said += self._handle(work, [request], now, buried)
                except (Stop, *TRANSIENT):
                    raise
                except Exception as error:
                    log.exception("message %s is put aside", request[0].envelope.id)
                    buried.append((request[0], f"failed: {type(error).__name__}: {error}"))
            self._keep(connection, batch, said, buried, now)
        return self._told(said, buried)

    def _take(self, connection: Transaction, batch: Batch, now: datetime) -> Iterable[tuple[str, int]]:
        return self.tables.inbox.take(connection, Counter(d.envelope.id for d, _ in batch.requests), now)

    def _fresh(self, batch: Batch, taken: Iterable[tuple[str, int]]) -> list[Request]:
        """Those that were never taken in before, each once."""
        times = Counter(delivery.envelope.id for delivery, _ in batch.requests)
        new = {message_id for message_id, deliveries in taken if deliveries == times[message_id]}
        first = {request[0].envelope.id: request for request in reversed(batch.requests)}
        return [each for each in batch.requests if each[0].envelope.id in new and first[each[0].envelope.id] is each]

    def _handle(
        self, work: UnitOfWork, requests: Sequence[Request], now: datetime, buried: list[Letter]
    ) -> list[Envelope]:
        said: list[Envelope] = []
        for delivery, message in requests:
            work.cause = delivery.envelope
            try:
                outcome = self.handling.handlers[type(message)](message, work)
            except Unprocessable as error:
                buried.append((delivery, str(error)))
            else:
                said += self._enclose(outcome, now, delivery.envelope)
        work.flush()
        return said

    def _keep(
        self, connection: Transaction, batch: Batch, said: list[Envelope], buried: list[Letter], now: datetime
    ) -> None:
        self.tables.outbox.add(connection, said, now + LEFT_BEHIND)
        self.tables.outbox.mark_published(connection, batch.published, now)
        self.tables.dead_letters.add(connection, buried, now)
        self.tables.dead_letters.replayed(connection, [d for d, _ in (*batch.requests, *batch.letters)], now)

    def _told(self, said: list[Envelope], buried: list[Letter]) -> list[Envelope]:
        for delivery, reason in buried:
            log.error("dead letter %s (%s): %s", delivery.envelope.id, delivery.envelope.type, reason)
        return said

    def _enclose(
        self, outcome: Message | Sequence[Message] | None, now: datetime, cause: Envelope | None
    ) -> list[Envelope]:
        """What a handler wants said, in envelopes."""
        messages: Sequence[Any] = outcome if isinstance(outcome, list | tuple) else [outcome] if outcome else []
        return [enclose(each, at=now, new_id=self.new_id, cause=cause) for each in messages]
