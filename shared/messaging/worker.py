"""A worker: take a batch, work and commit it, acknowledge, publish; in between, what time and crashes have left to do.

A crash after the commit and before the acknowledgment: the messages come again, the inbox knows them, and no handler
runs. A crash after the acknowledgment and before the publish: what the batch said is in the outbox, and the relay of
the next worker, or of this one's successor, publishes it. So the order of the two does not matter.
"""

import logging
import math
import random
import time
from collections.abc import Callable, Sequence
from threading import Event

from shared.database import RowsChanged, StalePlan, TransientError
from shared.logs import Interruption
from shared.messaging.broker import Broker, Connection, ConnectionLost, Delivery
from shared.messaging.consumer import Consumer
from shared.messaging.durability.maintenance import Maintenance
from shared.messaging.envelope import Envelope
from shared.messaging.measures import Measures
from shared.messaging.pace import Chore, Pace

log = logging.getLogger("fulfillment.worker")

SUSPECTED_AFTER = 2  # drops, a message is worked alone
ATTEMPTS_ALONE = 5  # that no worker has survived, then a message is dead-lettered
MARK_AFTER = 0.05  # seconds without a batch that could mark confirmed messages along
LONGEST_REST = 5.0  # seconds without relaying, while an inbox somewhere is full
PRUNED_AT_A_TIME = 200
PRUNING_SHARE = 0.1  # of a worker's time, at most


class Worker:
    """Works one service's messages on one thread. Several workers of a service compete safely."""

    def __init__(
        self,
        service: str,
        consumer: Consumer,
        maintenance: Maintenance,
        broker: Broker,
        pace: Pace,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.service, self.consumer, self.maintenance = service, consumer, maintenance
        self.broker, self.pace, self.monotonic = broker, pace, monotonic
        self._interruption = Interruption(log, f"{service} worker waits", monotonic)
        self.measures = Measures(service, [each.type for each in consumer.handling.handlers])
        consumer.on_letters = self.measures.dead
        self.connection: Connection | None = None
        self.confirmed: list[str] = []  # to be marked published
        self._mark_at = 0.0  # when nothing has marked them along by then
        self.in_flight: set[str] = set()  # published, not yet settled
        self.held: list[Delivery] = []  # taken, not yet worked: the database was away
        self.suspected: list[Delivery] = []
        self._tried = ""  # the suspected message that this process has counted
        self.woken = Event()
        self._busy_since: float | None = None
        self._pause, self._database_away = 0.0, False  # seconds, and as of the last round
        self._rest, self._relay_from = 0.0, 0.0  # seconds, and until when
        self._claim_everything = True
        now = monotonic()
        self._relaying = Chore(run=self._relay, every=pace.relay, due_at=now)
        self.chores = [
            self._relaying,
            Chore(run=self._fire_timers, every=pace.timers if consumer.handling.due else math.inf, due_at=now),
            Chore(run=self._replay, every=pace.replay, due_at=now),
            Chore(run=self._prune, every=pace.prune, share=PRUNING_SHARE, due_at=now),
            Chore(run=self._bring_forward, every=pace.prune, due_at=now),
        ]

    def wake(self) -> None:
        """Somebody committed messages that no worker holds: look into the outbox at once. From any thread."""
        self.woken.set()
        if connection := self.connection:
            connection.wake()

    def alive(self) -> bool:
        """False when a batch, or a chore, has taken longer than the watchdog allows."""
        since = self._busy_since
        return since is None or self.monotonic() - since < self.pace.watchdog

    def run(self, stop: Event, on_turn: Callable[[], None] = lambda: None) -> None:
        """Work until `stop` is set, through the loss and return of broker and database; then finish what is in hand."""
        while not stop.is_set():
            if pause := self.round():
                stop.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads the workers
            else:
                on_turn()
        self.finish()

    def round(self, patience: float = 1.0) -> float:
        """One turn; returns how many seconds to wait before the next: 0.0 when all is well, else more each time."""
        try:
            self.turn(patience)
        except (RowsChanged, StalePlan) as error:
            log.info("%s worker works its batch again: %s", self.service, error)
            return 0.0
        except (ConnectionLost, TransientError) as error:
            self._pause = min(max(0.1, self._pause * 2), 5.0)
            self._database_away = isinstance(error, TransientError)
            if self._interruption.hit(error):
                self.measures.interrupted("database" if self._database_away else "broker")
            if isinstance(error, ConnectionLost):
                self.disconnect()
            return self._pause
        self._interruption.over()
        self._pause, self._database_away = 0.0, False
        return 0.0

    def turn(self, patience: float = 1.0) -> None:
        """One round. Waits at most `patience` seconds for something to do. Raises ConnectionLost and TransientError."""
        if self.connection is None:
            self.connection = self.broker.connect(self.service)
        self._settle(self.connection)
        batch = self.held or self._take(self.connection, patience)
        self._busy_since = self.monotonic()
        try:
            if batch:
                self.held = batch
                self._work(self.connection, batch)
                self.held = []
            elif self.suspected:
                self._work_alone(self.connection, self.suspected[0])
                self.suspected.pop(0)
            elif self.confirmed and self.monotonic() >= self._mark_at:
                self._mark()
            self._do_chores()
        finally:
            self._busy_since = None

    def finish(self, patience: float = 2.0) -> None:
        """Wait a moment for the last confirms, mark them if there is a database, and give back what is unworked."""
        until = self.monotonic() + patience
        try:
            while self.connection and self.in_flight and self.monotonic() < until:
                self.connection.take(0, 0.01)
                self._settle(self.connection)
            if self._database_away:  # a stop must not wait for it once more
                raise TransientError("the database is away")
            self._mark()
        except (ConnectionLost, TransientError) as error:
            said = "%s worker ends with %d messages to be published again: %s"
            log.warning(said, self.service, len(self.in_flight), error)
        self.disconnect()

    def disconnect(self) -> None:
        """Forget what the broker will deliver again; what was not confirmed stays in the outbox."""
        connection, self.connection = self.connection, None
        self.held, self.suspected = [], []
        self.in_flight.clear()
        if connection:
            connection.close()

    def _settle(self, connection: Connection) -> None:
        settled = connection.settled()
        if settled.confirmed and not self.confirmed:
            self._mark_at = self.monotonic() + MARK_AFTER
        self.confirmed += settled.confirmed
        self.in_flight.difference_update(settled.confirmed, settled.refused)
        self.measures.settled(len(settled.confirmed), settled.refused)
        if settled.refused:
            message_id, reason = next(iter(settled.refused.items()))
            log.error("%d messages stay in the outbox, such as %s: %s", len(settled.refused), message_id, reason)
        if "nacked" in settled.refused.values():
            self._rest = min(max(0.5, self._rest * 2), LONGEST_REST)
            self._relay_from = self.monotonic() + self._rest
        elif settled.confirmed:
            self._rest = 0.0

    def _take(self, connection: Connection, patience: float) -> list[Delivery]:
        until = (
            min(*(chore.due_at for chore in self.chores), self._mark_at if self.confirmed else math.inf)
            - self.monotonic()
        )
        patience = max(0.0, min(patience, until, MARK_AFTER if self.in_flight else math.inf))
        taken = connection.take(self.pace.batch, 0.0 if self.suspected or self.woken.is_set() else patience)
        self.suspected += [each for each in taken if each.drops >= SUSPECTED_AFTER and not each.death]
        if taken:
            connection.prefetch(1 if self.suspected else 2 * self.pace.batch)
        return [each for each in taken if each.drops < SUSPECTED_AFTER or each.death]

    def _work(
        self, connection: Connection, batch: Sequence[Delivery], survived: Callable[[], None] = lambda: None
    ) -> None:
        marks, self.confirmed, began = self.confirmed, [], self.monotonic()
        try:
            outgoing = self.consumer.work(batch, marks)
        except BaseException:
            self.confirmed = marks + self.confirmed
            raise
        survived()
        self.measures.worked(batch, self.monotonic() - began)
        connection.acknowledge(batch)
        self._publish(outgoing)

    def _work_alone(self, connection: Connection, delivery: Delivery) -> None:
        attempt = 0 if delivery.envelope.id == self._tried else self.maintenance.count_attempt(delivery)
        self._tried = delivery.envelope.id  # once a process: who tries again, after a transient error, has survived it
        if attempt > ATTEMPTS_ALONE:
            log.critical("message %s is put aside: nobody survived it %d times", delivery.envelope.id, ATTEMPTS_ALONE)
            self.maintenance.dead_letter(
                delivery, f"lethal: its worker died or hung {ATTEMPTS_ALONE} times while working it alone"
            )
            connection.acknowledge([delivery])
        else:
            # Clear the suspicion before acknowledging: afterwards nothing would clear it.
            self._work(connection, [delivery], survived=lambda: self.maintenance.clear(delivery))

    def _publish(self, envelopes: Sequence[Envelope]) -> None:
        sent = [each for each in envelopes if each.id not in self.in_flight]
        sent = sent[: max(0, self.pace.window - len(self.in_flight))]
        if sent and self.connection:
            self.in_flight.update(each.id for each in sent)
            self.measures.published(len(sent))
            self.connection.publish(sent)

    def _mark(self) -> None:
        if self.confirmed:
            self.maintenance.mark_published(self.confirmed)
            self.confirmed = []

    def _do_chores(self) -> None:
        for chore in self.chores:
            if chore.due_at <= self.monotonic() or (chore is self._relaying and self.woken.is_set()):
                self._busy_since = self.monotonic()
                chore.do(self.monotonic)

    def _relay(self) -> bool:
        self.woken.clear()
        room = min(self.pace.batch, self.pace.window - len(self.in_flight))
        if room <= 0 or self.monotonic() < self._relay_from:
            return False
        left = self.maintenance.claim(room, everything=self._claim_everything)
        self._publish(left)
        more = len(left) == room
        self._claim_everything = self._claim_everything and more
        return more

    def _bring_forward(self) -> bool:
        self.maintenance.bring_forward()
        return False

    def _fire_timers(self) -> bool:
        outgoing = self.consumer.advance(self.pace.batch)
        self._publish(outgoing)
        return len(outgoing) >= self.pace.batch

    def _replay(self) -> bool:
        """One at a time: what is replayed may be what killed a worker before."""
        letters = self.maintenance.to_replay(1)
        for letter in letters:
            assert self.connection is not None
            self._work_alone(self.connection, letter)
        return bool(letters)

    def _prune(self) -> bool:
        pace = self.pace
        return self.maintenance.prune(pace.outbox_kept, pace.inbox_kept, pace.letters_kept, PRUNED_AT_A_TIME)
