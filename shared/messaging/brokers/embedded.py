"""A broker in this process: the same promises as RabbitMQ's, nothing on disk, and faults on demand."""

import time
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from threading import Condition, RLock

import msgspec

from shared.messaging.broker import ConnectionLost, Delivery, Settled
from shared.messaging.brokers.faults import Faults, NoFaults
from shared.messaging.envelope import Envelope
from shared.messaging.topology import Topology, dead_letters_of, exchange_of, inbox_of

DEAD_LETTERS_AT_A_TIME = 10


class _Publication(msgspec.Struct):
    """One message somebody waits to see confirmed: as soon as every copy at every queue is acknowledged."""

    message_id: str
    publisher: "EmbeddedConnection"
    open_copies: int = 0


class _Copy(msgspec.Struct, order=True):
    """A message at a queue, or on its way there. Its number is its own, so nothing behind it is compared."""

    arrives_at: float
    number: int
    envelope: Envelope
    publication: _Publication
    drops: int = 0
    death: str | None = None


class _Held(msgspec.Struct, frozen=True):
    copy: _Copy
    queue: str
    prefetch: int  # which call of `prefetch` it counts against


class Embedded:
    """All services' queues in one process. Thread-safe; deterministic when one thread uses it with a clock of its own.

    Nothing outlives the process, so a message is confirmed when every consumer that it was routed to has acknowledged
    it; until then its outbox row is unpublished. One that dies is confirmed when it leaves the dead-letter queue.
    `clock` says seconds.
    """

    def __init__(
        self,
        topology: Topology,
        faults: Faults | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        lasting: bool = False,
    ) -> None:
        """One that is `lasting`, because it outlives the processes that use it, confirms what it has queued."""
        self.lasting = lasting
        self.topology, self.faults, self.clock = topology, faults or NoFaults(), clock
        self._lock = RLock()
        self._queues: dict[str, list[_Copy]] = {name: [] for name in topology.queues}  # each sorted by arrival
        self._routes: dict[tuple[str, str], list[str]] = defaultdict(list)
        for exchange, key, queue in topology.bindings:
            self._routes[exchange, key].append(queue)
        self._connections: list[EmbeddedConnection] = []
        self._numbers = 0

    def connect(self, service: str) -> "EmbeddedConnection":
        """A connection for a service of the topology; raises ConnectionLost."""
        if service not in self.topology.publishes:
            raise ConnectionLost(f"no queue {inbox_of(service)}")
        with self._lock:
            connection = EmbeddedConnection(self, service)
            self._connections.append(connection)
            return connection

    def cut(self, service: str) -> None:
        """Break every connection of a service; what it held is delivered again."""
        with self._lock:
            for connection in [each for each in self._connections if each.service == service]:
                self._drop(connection, "cut")

    def next_event_at(self) -> float | None:
        """When the next delayed message arrives, by this broker's clock; None when none is on its way."""
        with self._lock:
            return self._next_arrival(self._queues)

    def idle(self) -> bool:
        """Nothing is queued, on its way or unacknowledged."""
        with self._lock:
            return not any(self._queues.values()) and not any(each._held for each in self._connections)

    # What follows is called by connections that hold the lock.

    def _publish(self, publisher: "EmbeddedConnection", envelope: Envelope) -> None:
        envelope = msgspec.structs.replace(envelope, producer=publisher.service)
        queues = self._routes.get((exchange_of(publisher.service), envelope.type))
        if not queues:
            publisher._refused[envelope.id] = "returned"
            return
        arrivals = [(queue, self.faults.arrivals(envelope, queue)) for queue in queues]
        if any(delays is None for _, delays in arrivals):
            publisher._refused[envelope.id] = "nacked"
            return
        publication = _Publication(envelope.id, publisher)
        for queue, delays in arrivals:
            for delay in delays or ():
                self._send(queue, _Copy(self.clock() + delay, 0, envelope, publication))
                publication.open_copies += 1
        if self.lasting or not publication.open_copies:
            publisher._confirmed.append(envelope.id)

    def _send(self, queue: str, copy: _Copy) -> None:
        self._numbers += 1
        copy.number = self._numbers
        insort(self._queues[queue], copy)

    def _give(self, name: str) -> _Copy | None:
        queue = self._queues[name]
        waiting = self._arrived(queue)
        return queue.pop(self.faults.next(name, waiting)) if waiting else None

    def _next_arrival(self, queues: Iterable[str]) -> float | None:
        later = [queue[self._arrived(queue) :] for queue in map(self._queues.__getitem__, queues)]
        return min((copies[0].arrives_at for copies in later if copies), default=None)

    def _arrived(self, queue: list[_Copy]) -> int:
        return bisect_right(queue, self.clock(), key=attrgetter("arrives_at"))

    def _done(self, copy: _Copy) -> None:
        publication = copy.publication
        publication.open_copies -= 1
        if not publication.open_copies and not self.lasting:
            publication.publisher._confirmed.append(publication.message_id)

    def _give_back(self, queue: str, copy: _Copy) -> None:
        copy.drops += 1
        if copy.drops > int(self.topology.queues[queue]["x-delivery-limit"]):
            self._dead_letter(queue, copy, "delivery_limit")
        else:
            insort(self._queues[queue], copy)

    def _dead_letter(self, queue: str, copy: _Copy, reason: str) -> None:
        arguments = self.topology.queues[queue]
        if "x-dead-letter-exchange" not in arguments:
            self._done(copy)  # as RabbitMQ: what a dead-letter queue gives up is gone
            return
        address = str(arguments["x-dead-letter-exchange"]), str(arguments["x-dead-letter-routing-key"])
        copy.drops, copy.death, copy.arrives_at = 0, reason, self.clock()
        for dead_letters in self._routes[address]:
            self._send(dead_letters, copy)

    def _drop(self, connection: "EmbeddedConnection", reason: str) -> None:
        connection._lost = reason
        self._connections.remove(connection)
        for held in connection._held.values():
            self._give_back(held.queue, held.copy)
        connection._held.clear()
        connection._changed.notify_all()
        self._call()

    def _call(self) -> None:
        """Wake those for whom there may be something."""
        for each in self._connections:
            if self._queues[each._inbox] or self._queues[each._dead_letters]:
                each._changed.notify_all()


class EmbeddedConnection:
    """The port, on queues in memory. `take` with a timeout of 0 never waits."""

    events_per_message = 1.0

    def __init__(self, broker: Embedded, service: str) -> None:
        self.service, self._broker, self._changed = service, broker, Condition(broker._lock)
        self._inbox, self._dead_letters = inbox_of(service), dead_letters_of(service)
        self._held: dict[int, _Held] = {}
        self._confirmed: list[str] = []
        self._refused: dict[str, str] = {}
        self._lost: str | None = None
        self._woken = False
        self._prefetch, self._prefetches = 1, 0

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        with self._changed:
            self._check()
            until = time.monotonic() + timeout
            while not (taken := self._take(limit)) and not self._woken:
                left = until - time.monotonic()
                if left <= 0:
                    break
                arrival = self._broker._next_arrival((self._inbox, self._dead_letters))
                self._changed.wait(left if arrival is None else min(left, arrival - self._broker.clock()))
                self._check()
            self._woken = False
            return taken

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        with self._changed:
            self._check()
            for delivery in deliveries:
                if held := self._held.pop(delivery.tag, None):
                    self._broker._done(held.copy)

    def publish(self, envelopes: Sequence[Envelope]) -> None:
        with self._changed:
            self._check()
            for envelope in envelopes:
                self._broker._publish(self, envelope)
            self._broker._call()

    def settled(self) -> Settled:
        with self._changed:
            self._check()
            settled = Settled(confirmed=self._confirmed, refused=self._refused)
            self._confirmed, self._refused = [], {}
            return settled

    def prefetch(self, count: int) -> None:
        with self._changed:
            self._check()
            if count != self._prefetch:
                self._prefetch, self._prefetches = count, self._prefetches + 1
                self._changed.notify_all()

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            if not self._lost:
                self._broker._drop(self, "closed")

    def _check(self) -> None:
        if not self._lost and self._broker.faults.cuts(self.service):
            self._broker._drop(self, "cut")
        if self._lost:
            raise ConnectionLost(f"{self.service}: {self._lost}")

    def _take(self, limit: int) -> list[Delivery]:
        mine = [held for held in self._held.values() if held.prefetch == self._prefetches or held.queue != self._inbox]
        dead = sum(held.queue == self._dead_letters for held in mine)
        room = {self._inbox: self._prefetch - (len(mine) - dead), self._dead_letters: DEAD_LETTERS_AT_A_TIME - dead}
        taken: list[Delivery] = []
        for queue, most in room.items():
            while len(taken) < limit and most > 0 and (copy := self._broker._give(queue)):
                self._broker._numbers += 1
                tag, most = self._broker._numbers, most - 1
                self._held[tag] = _Held(copy, queue, self._prefetches)
                taken.append(Delivery(envelope=copy.envelope, tag=tag, drops=copy.drops, death=copy.death))
        return taken
