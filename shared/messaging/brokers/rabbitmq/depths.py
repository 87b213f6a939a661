"""How many messages wait at a service's queues, asked now and then over a connection of its own."""

from collections.abc import Mapping
from contextlib import suppress

import pika
from pika import exceptions
from pika.adapters.blocking_connection import BlockingChannel
from pika.connection import Parameters

from shared.messaging.brokers.rabbitmq.link import loss
from shared.messaging.topology import dead_letters_of, inbox_of


class QueueDepths:
    """The queues of one service. For one thread; connects when it is first asked, and anew after a loss."""

    def __init__(self, service: str, parameters: Parameters) -> None:
        """Between two questions nobody answers heartbeats, so `parameters` should have none."""
        self.service, self._parameters = service, parameters
        self.names = (inbox_of(service), dead_letters_of(service))
        self._connection: pika.BlockingConnection | None = None
        self._channel: BlockingChannel | None = None

    def read(self) -> Mapping[str, int]:
        """How many messages are ready for a worker, by queue; raises ConnectionLost."""
        try:
            if self._channel is None:
                self._connection = pika.BlockingConnection(self._parameters)
                self._channel = self._connection.channel()
            channel = self._channel
            return {name: int(channel.queue_declare(name, passive=True).method.message_count) for name in self.names}
        except (exceptions.AMQPError, OSError) as error:
            self.close()
            raise loss(self.service, error) from error

    def close(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection and connection.is_open:
            with suppress(exceptions.AMQPError, OSError):  # it is gone already
                connection.close()
