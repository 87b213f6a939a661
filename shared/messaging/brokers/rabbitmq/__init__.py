"""RabbitMQ as the broker: connections for workers, the topology declared or checked. Nothing else knows pika."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pika
from pika import exceptions
from pika.adapters.blocking_connection import BlockingChannel

from shared.messaging.broker import ConnectionLost
from shared.messaging.brokers.rabbitmq.bundle import LARGEST
from shared.messaging.brokers.rabbitmq.depths import QueueDepths
from shared.messaging.brokers.rabbitmq.link import loss, parameters_for
from shared.messaging.brokers.rabbitmq.session import Session
from shared.messaging.topology import Topology, dead_letters_of, exchange_of, inbox_of

log = logging.getLogger("fulfillment.broker")

NOT_FOUND = 404


class RabbitMQ:
    """The broker at an `amqp://` or `amqps://` address; RabbitMQ 3.10 or later."""

    def __init__(
        self,
        url: str,
        *,
        window: int = 1_000,
        bundle: int = 50,
        longest_batch: float = 60.0,
        users: Mapping[str, str] | None = None,
        largest_body: int = LARGEST,
    ) -> None:
        """At most `window` messages of a worker are unconfirmed at a time, of at most `bundle` events each.

        Of an event larger than `largest_body` bytes only the beginning is taken in. `users` are the broker users that
        services speak as, by service: see `Senders` for those who give none.

        A worker may leave its connection alone for `longest_batch` seconds. RabbitMQ gives a client up after two
        heartbeats of silence, so the heartbeat follows from it, unless the URL sets one. Raises ValueError for a bad
        address.
        """
        self.url, self.window, self.bundle, self.users = url, window, bundle, users or {}
        self.largest_body = largest_body
        self.heartbeat = int(longest_batch / 2) + 1
        parameters_for(url, "", self.heartbeat)

    def connect(self, service: str) -> Session:
        """A connection for a worker of this service; raises ConnectionLost, or AccessRefused which is one."""
        return Session(self.url, service, self.heartbeat, self.window, self.bundle, self.users, self.largest_body)

    def depths(self, service: str) -> QueueDepths:
        """Where to ask how many messages wait at the queues of this service."""
        return QueueDepths(service, parameters_for(self.url, f"{service} counts", 0))

    def provision(self, topology: Topology, settle: float = 2.0) -> None:
        """Declare what is missing and wait until every queue delivers; may be repeated. Raises ConnectionLost.

        After new queues, waits `settle` seconds more: RabbitMQ 3.10 loses a quorum queue with its messages for ever if
        it is killed within a second after the queue was declared. Bindings of message types that nobody handles any
        longer are kept. A queue that exists with other arguments is refused by the broker (406), and stays as it is.
        """
        new = [name for name in topology.queues if not self._exists(name)]
        with self._channel("provision") as channel:
            for name, kind in topology.exchanges.items():
                channel.exchange_declare(name, kind, durable=True)
            for name, arguments in topology.queues.items():
                channel.queue_declare(name, durable=True, arguments=dict(arguments))
            for exchange, key, queue in topology.bindings:
                channel.queue_bind(queue, exchange, key)
            for name in topology.queues:
                self._probe(channel, name)
        if new:
            log.info("declared %s", ", ".join(new))
            time.sleep(settle)

    def check(self, service: str) -> None:
        """See that the service's queues and exchange are there, without declaring; raises ConnectionLost otherwise."""
        with self._channel(service) as channel:
            channel.exchange_declare(exchange_of(service), passive=True)
            for queue in (inbox_of(service), dead_letters_of(service)):
                channel.queue_declare(queue, passive=True)

    def version(self) -> str:
        """The server's own; raises ConnectionLost, or AccessRefused which is one."""
        with self._channel("doctor") as channel:
            return str(channel.connection._impl.server_properties.get("version", ""))  # type: ignore[attr-defined]

    def _exists(self, queue: str) -> bool:
        try:
            with self._channel("provision") as channel:
                channel.queue_declare(queue, passive=True)
        except ConnectionLost as error:
            cause = error.__cause__
            if isinstance(cause, exceptions.ChannelClosedByBroker) and cause.reply_code == NOT_FOUND:
                return False
            raise
        return True

    def _probe(self, channel: BlockingChannel, queue: str) -> None:
        """A queue without a leader answers a passive declaration as if it were empty, and a consumer not at all."""
        state = channel.queue_declare(queue, passive=True).method
        if not state.message_count and not state.consumer_count:
            channel.basic_cancel(channel.basic_consume(queue, lambda *_: None))

    @contextmanager
    def _channel(self, name: str) -> Iterator[BlockingChannel]:
        try:
            connection = pika.BlockingConnection(parameters_for(self.url, f"{name} looks", self.heartbeat))
            try:
                yield connection.channel()
            finally:
                if connection.is_open:
                    connection.close()
        except (exceptions.AMQPError, OSError) as error:
            raise loss(name, error) from error
