"""The one rule: inbox, state, history and outbox in one transaction per batch; only then is a message acknowledged."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from shared.clock import Clock
from shared.database import Database, Transaction, TransientError
from shared.ids import NewId
from shared.logs import Interruption, about
from shared.messaging.broker import Delivery, Letter
from shared.messaging.calls import Batch, Outcome, Request, asking_for, owed, work_in_rounds
from shared.messaging.durability.ceilings import PER_HOUR
from shared.messaging.durability.inbox import seen
from shared.messaging.durability.outbox import LEFT_BEHIND
from shared.messaging.durability.tables import Tables
from shared.messaging.envelope import MESSAGE_ID, Envelope, Key, Message, Reader, Unreadable, enclose, shortened
from shared.messaging.handling import Call, Handling, Stop, UnitOfWork, Unprocessable
from shared.values import changed

log = logging.getLogger("fulfillment.consumer")

REUSED = "id_reused: its producer has sent another body under this id"


class Consumer:
    """Works batches of deliveries for one service on one database."""

    monotonic = staticmethod(time.monotonic)

    def __init__(
        self,
        handling: Handling,
        tables: Tables,
        database: Database,
        *,
        clock: Clock,
        new_id: NewId,
        body_limit: int,
        letter_limit: int = PER_HOUR,
    ) -> None:
        self.handling, self.tables, self.database, self.clock, self.new_id = handling, tables, database, clock, new_id
        self.letter_limit = letter_limit
        self._outside = Interruption(log, "no answer from outside, whoever asked will ask again")
        self.on_letters: Callable[[Sequence[Letter]], None] = lambda letters: None  # told of what was put aside
        self._reader = Reader({known.type: known for known in handling.handlers}, body_limit)

    def work(self, deliveries: Sequence[Delivery], published: Collection[str] = ()) -> list[Envelope]:
        """Do what a batch asks, in one transaction; returns the committed messages, which are now to be published.

        `published` are confirmed outbox ids to mark along. A message that cannot be read, or whose handler fails, is
        kept as a dead letter in the same transaction, the others are done. Calls to the outside take more transactions:
        see `calls`. Raises TransientError: then none may be acknowledged, and all may be worked again.
        """
        requests, letters = self._read(deliveries)
        batch = Batch(requests=requests, letters=letters, published=published)
        ask = asking_for(self.handling.longest_call, self.handling.ask, self.monotonic)
        return work_in_rounds(batch, self._intend, ask, self._commit)

    def advance(self, most: int) -> list[Envelope]:
        """Do what time asks, for at most `most` things; returns the committed messages."""
        if self.handling.due is None:
            return []
        with self.database.batch() as connection:
            now = self.clock.now(connection)
            outgoing = self._enclose(self.handling.due(connection, now, most), now, None)
            self.tables.outbox.add(connection, outgoing, now + LEFT_BEHIND)
        return outgoing

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
                short = shortened(delivery.envelope, self._reader.largest_body)
                letters.append((changed(delivery, envelope=short), str(error)))
        return requests, letters

    def _intend(self, batch: Batch) -> Mapping[str, Call]:
        """Commit the rows of those that may call, and nothing else; returns the calls that these rows owe.

        The inbox is not asked yet. Of several with one key only the first can be worked, so only it may call.
        """
        calling = [each for each in batch.requests if type(each[1]) in self.handling.calls]
        firsts = {each[0].envelope.key: each for each in reversed(calling)}
        requests = [each for each in calling if firsts[each[0].envelope.key] is each]
        if not requests:
            return {}
        try:
            with self.database.batch() as connection:
                now = self.clock.now(connection)
                work = self.handling.load(connection, [message for _, message in requests], now, batch.answers)
                return self._handle(work, requests, batch, now).calls
        except (Stop, TransientError):
            raise
        except Exception as error:
            log.warning("no intents of a batch of %d are committed, it fails: %r", len(requests), error)
            return {}  # it fails again when it is committed, and each is worked alone there

    def _commit(self, batch: Batch) -> Outcome:
        try:
            outcome = self._commit_together(batch)
        except (Stop, TransientError):
            raise
        except Exception as error:
            log.warning("a message of a batch of %d fails, each is worked alone: %r", len(batch.requests), error)
            outcome = self._commit_alone(batch)
        if letters := [*outcome.unread, *outcome.dead]:
            (first, reason), *_ = letters
            envelope = first.envelope
            order = about(envelope.correlation_id, envelope.id)
            said = "%d dead letters, such as %s (%s): %s"
            log.error(said, len(letters), envelope.id, envelope.type, reason, extra=order)
            self.on_letters(letters)
        if silent := outcome.unanswered:
            said = f"{len(silent)} of {len(batch.requests)} requests, such as {silent[0].type}"
            self._outside.hit(said, about(silent[0].correlation_id, silent[0].id))
        elif batch.answers:
            self._outside.over()
        return outcome

    def _commit_together(self, batch: Batch) -> Outcome:
        """The transaction."""
        with self.database.batch() as connection:
            now, outcome = self.clock.now(connection), Outcome(unread=list(batch.letters))
            if batch.requests:
                taken = self._take(connection, batch, now)  # read when the rows are: they come together
                work = self.handling.load(connection, [message for _, message in batch.requests], now, batch.answers)
                fresh, reused = self._fresh(connection, batch, taken)
                outcome.add(self._handle(work, fresh, batch, now))
                outcome.unread.extend(reused)
            self._keep(connection, batch, outcome, now)
        return outcome

    def _commit_alone(self, batch: Batch) -> Outcome:
        """The transaction, where each message has a savepoint of its own, and the failing ones are dead letters."""
        with self.database.batch() as connection:
            now, outcome = self.clock.now(connection), Outcome(unread=list(batch.letters))
            fresh, reused = self._fresh(connection, batch, self._take(connection, batch, now))
            outcome.unread.extend(reused)
            for request in fresh:
                try:
                    with connection.savepoint():
                        work = self.handling.load(connection, [request[1]], now, batch.answers)
                        part = self._handle(work, [request], batch, now, outcome.waiting.values())
                except (Stop, TransientError):
                    raise
                except Exception as error:
                    put_aside = request[0].envelope
                    log.exception("it is put aside", extra=about(put_aside.correlation_id, put_aside.id))
                    part = Outcome(dead=[(request[0], f"failed: {type(error).__name__}: {error}")])
                outcome.add(part)
            self._keep(connection, batch, outcome, now)
        return outcome

    def _take(self, connection: Transaction, batch: Batch, now: datetime) -> Iterable[Key]:
        firsts = {delivery.envelope.key: delivery.envelope for delivery, _ in reversed(batch.requests)}
        return self.tables.inbox.take(connection, firsts.values(), now)

    def _fresh(
        self, connection: Transaction, batch: Batch, taken: Iterable[Key]
    ) -> tuple[Sequence[Request], Sequence[Letter]]:
        """Those that were never taken in before, each once; the others are counted. And those whose key is known with
        another body: a repeat says the same."""
        new = {(producer, message_id) for producer, message_id in taken}
        if len(new) == len(batch.requests):
            return batch.requests, ()
        fresh: list[Request] = []
        others: list[Delivery] = []
        for request in batch.requests:
            if (key := request[0].envelope.key) in new:
                new.remove(key)
                fresh.append(request)
            else:
                others.append(request[0])
        known = self.tables.inbox.count_again(connection, Counter(seen(each.envelope) for each in others))
        reused = [(each, REUSED) for each in others if seen(each.envelope) not in known]
        return fresh, reused

    def _handle(
        self, work: UnitOfWork, requests: Sequence[Request], batch: Batch, now: datetime, ahead: Collection[str] = ()
    ) -> Outcome:
        """Run the handlers; requests of the orders `ahead` wait for the outside already."""
        outcome, open_orders = Outcome(), set(ahead)
        for delivery, message in requests:
            work.cause = cause = delivery.envelope
            try:
                outgoing = self.handling.handlers[type(message)](message, work)
                call = owed(self.handling, message, work, batch)
            except Unprocessable as error:
                if cause.correlation_id in open_orders:  # an answer that is on its way may be what it misses
                    outcome.waiting[cause.key] = cause.correlation_id
                else:
                    outcome.dead.append((delivery, str(error)))
                continue
            if call:
                outcome.waiting[cause.key] = cause.correlation_id
                outcome.calls[call.key] = call
                open_orders.add(cause.correlation_id)
            else:
                outcome.outgoing.extend(self._enclose(outgoing, now, cause))
                if not outgoing and type(message) in self.handling.calls:
                    outcome.unanswered.append(cause)
        work.flush()
        return outcome

    def _keep(self, connection: Transaction, batch: Batch, outcome: Outcome, now: datetime) -> None:
        deliveries = [delivery for delivery, _ in (*batch.requests, *batch.letters)]
        done = [delivery for delivery in deliveries if delivery.envelope.key not in outcome.waiting]
        self.tables.outbox.add(connection, outcome.outgoing, now + LEFT_BEHIND)
        self.tables.outbox.mark_published(connection, batch.published, now)
        self.tables.dead_letters.add(connection, outcome.unread, now, self.letter_limit)
        kept = self.tables.dead_letters.add(connection, outcome.dead, now, self.letter_limit)
        self.tables.dead_letters.replayed(connection, done, now)
        # What is not even kept as a dead letter is as if it had not come: its producer can publish it again.
        forgone = [each for each in outcome.dead if each not in kept] if len(kept) < len(outcome.dead) else ()
        self.tables.inbox.give_back(connection, [*outcome.waiting, *(each.envelope.key for each, _ in forgone)])

    def _enclose(
        self, outcome: Message | Sequence[Message] | None, now: datetime, cause: Envelope | None
    ) -> list[Envelope]:
        """What a handler wants published, in envelopes."""
        messages: Sequence[Any] = outcome if isinstance(outcome, list | tuple) else [outcome] if outcome else []
        return [enclose(each, at=now, new_id=self.new_id, cause=cause) for each in messages]
