"""One AMQP connection: pika's SelectConnection; writes are sent together, and a message whose headers cannot be decoded
arrives without them."""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pika
from pika import exceptions, frame
from pika.adapters.select_connection import IOLoop, SelectConnection

from shared.messaging.broker import AccessRefused, ConnectionLost
from shared.messaging.brokers.rabbitmq.frames import FRAME, HEADER, HEADER_FRAME, delivery

log = logging.getLogger("fulfillment.broker")
# It logs each lost socket several times; this package does so once.
logging.getLogger("pika").setLevel(logging.CRITICAL)

SILENCE = {"TCP_USER_TIMEOUT": 30_000, "TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
BLOCKED = 30  # seconds until a publisher that is blocked gives up
ACCESS_REFUSED = 403

__all__ = ["IOLoop", "Link", "loss", "parameters_for", "reason"]


class Link(SelectConnection):
    """Three tiny writes for each message become one for all messages of a turn of the loop, when `flush` is called."""

    def __init__(self, *arguments: Any, on_read: Callable[..., None] | None = None, **options: Any) -> None:
        self._held: list[bytes] = []
        self._on_read = on_read
        super().__init__(*arguments, **options)

    def write(self, data: bytes) -> None:
        """Have this sent by the next `flush`, behind what pika has said until now."""
        self._held.append(data)

    _adapter_emit_data = write

    def flush(self) -> None:
        """Hand what was written since the last time to the socket."""
        data, self._held = b"".join(self._held), []
        if data and not self.is_closed:
            if not self.params.ssl_options and not self._get_write_buffer_size():  # type: ignore[attr-defined]
                with suppress(OSError):  # pika tries again, and sees to it
                    data = data[self._transport._sock.send(data) :]  # type: ignore[attr-defined]
            if data:
                super()._adapter_emit_data(data)  # type: ignore[misc]

    def _on_stream_connected(self) -> None:
        self._transport._MAX_RECV_BYTES = 65_536  # type: ignore[attr-defined]
        if not self.params.ssl_options:
            self._transport._MAX_CONSUME_BYTES = 1  # type: ignore[attr-defined]  # read once a turn, not until EAGAIN
        super()._on_stream_connected()  # type: ignore[misc]

    def drop(self) -> None:
        """Close the socket without asking the broker, in the next turn of the loop."""
        if not self.is_closed:
            self._terminate_stream(exceptions.StreamLostError("given up"))  # type: ignore[attr-defined]

    def _read_frame(self) -> Any:
        """Everyday deliveries are handed over first, all there are; other frames go pika's way, one at a time.

        A message with undecodable properties arrives without any: it shall not kill one consumer after another.
        """
        buffer, at = self._frame_buffer, 0  # type: ignore[attr-defined]
        while self._on_read and (read := delivery(buffer, at)):
            at, message = read
            self._on_read(*message)
        self._trim_frame_buffer(at)  # type: ignore[attr-defined]
        try:
            return super()._read_frame()  # type: ignore[misc]
        except Exception as error:
            if buffer[at] != HEADER:
                raise
            _, channel, size, _, _, length, _ = HEADER_FRAME.unpack_from(buffer, at)
            log.warning("a message came with properties that cannot be read: %s", reason(error))
            return FRAME.size + size + 1, frame.Header(channel, length, pika.BasicProperties())


def parameters_for(url: str, name: str, heartbeat: int) -> pika.URLParameters:
    """Connection parameters with this project's timeouts where the URL sets none. Raises ValueError."""
    parameters = pika.URLParameters(url)
    defaults = {"heartbeat": heartbeat, "blocked_connection_timeout": BLOCKED, "tcp_options": SILENCE}
    for setting, value in defaults.items():
        if getattr(parameters, setting) is None:
            setattr(parameters, setting, value)
    parameters.client_properties = {"connection_name": name}
    return parameters


def reason(error: BaseException) -> str:
    """What happened, in the words of the innermost error."""
    causes = (*getattr(error, "exceptions", ()), getattr(error, "exception", None), *error.args)
    if inner := [each for each in causes if isinstance(each, BaseException)]:
        return reason(inner[-1])
    if isinstance(error, exceptions.ConnectionClosed | exceptions.ChannelClosed):
        return f"{error.reply_code} {error.reply_text}"
    return f"{type(error).__name__}: {error}"


def loss(service: str, error: BaseException) -> ConnectionLost:
    """The port's exception for what pika reports."""
    refusals = (exceptions.ProbableAuthenticationError, exceptions.ProbableAccessDeniedError)
    if isinstance(error, refusals) or getattr(error, "reply_code", 0) == ACCESS_REFUSED:
        return AccessRefused(f"{service}: RabbitMQ refuses this user: {reason(error)}")
    return ConnectionLost(f"{service}: {reason(error)}")
