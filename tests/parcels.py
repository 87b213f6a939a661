"""An event as it is sent to RabbitMQ, for tests that send it themselves, altered or not."""

from typing import Any

from shared.messaging.brokers.rabbitmq.bundle import bundled
from shared.messaging.brokers.rabbitmq.wire import properties_of
from shared.messaging.envelope import Envelope


def as_sent(envelope: Envelope) -> tuple[dict[str, Any], bytes]:
    """Its AMQP properties and body, when it travels alone."""
    (parcel,) = bundled([envelope], 1)
    return properties_of(parcel), parcel.body
