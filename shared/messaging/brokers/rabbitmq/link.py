"""One AMQP connection: pika's SelectConnection; writes are sent together, and a message whose headers cannot be decoded
arrives without them."""

import errno
import logging
import ssl
import struct
from collections.abc import Callable
from typing import Any

import pika
from pika import exceptions, frame, spec
from pika.adapters.select_connection import IOLoop, SelectConnection

from shared.messaging.broker import AccessRefused, ConnectionLost

log = logging.getLogger("fulfillment.broker")
# It logs each lost socket several times; this package does so once.
logging.getLogger("pika").setLevel(logging.CRITICAL)

SILENCE = {"TCP_USER_TIMEOUT": 30_000, "TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
BLOCKED = 30  # seconds until a publisher that is blocked gives up
ACCESS_REFUSED = 403
CONTENT_HEADER = struct.Struct(">BHIHHQ")  # type, channel, size; class, weight, size of the body

__all__ = ["IOLoop", "Link", "loss", "parameters_for", "reason", "user_in"]


class Link(SelectConnection):
    """Three tiny writes for each message become one for all messages that are said together, when `flush` is called.

    While `full` says so, nothing is read: the network holds the rest back. (RabbitMQ has no prefetch by bytes.)
    """

    def __init__(self, *arguments: Any, full: Callable[[], bool] = lambda: False, **options: Any) -> None:
        self._held: list[bytes] = []
        self._full = full
        super().__init__(*arguments, **options)

    def _adapter_emit_data(self, data: bytes) -> None:
        self._held.append(data)

    def flush(self) -> None:
        """Send what was said since the last time."""
        if self._held and not self.is_closed:
            data, self._held = b"".join(self._held), []
            super()._adapter_emit_data(data)  # type: ignore[misc]

    def read_on(self) -> None:
        """It is no longer full: what TLS has read ahead makes no socket readable."""
        if transport := self._transport:  # type: ignore[attr-defined]
            self._nbio.add_callback_threadsafe(transport._on_socket_readable)  # type: ignore[attr-defined]

    def _proto_connection_made(self, transport: Any) -> None:
        transport._sigint_safe_recv = self._receive
        super()._proto_connection_made(transport)  # type: ignore[misc]

    def _receive(self, sock: Any, most: int) -> bytes:
        if not self._full():
            return bytes(sock.recv(most))
        self.bytes_received += 1  # type: ignore[attr-defined]  # no silence: the broker has something to say
        if isinstance(sock, ssl.SSLSocket):
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "full")
        raise BlockingIOError(errno.EAGAIN, "full")

    def drop(self) -> None:
        """Close the socket without asking the broker, in the next turn of the loop."""
        if not self.is_closed:
            self._terminate_stream(exceptions.StreamLostError("given up"))  # type: ignore[attr-defined]

    def _read_frame(self) -> Any:
        """A message with undecodable properties arrives without any: it shall not kill one consumer after another."""
        try:
            return super()._read_frame()  # type: ignore[misc]
        except Exception as error:
            buffer = self._frame_buffer  # type: ignore[attr-defined]
            if buffer[0] != spec.FRAME_HEADER:
                raise
            _, channel, size, _, _, length = CONTENT_HEADER.unpack_from(buffer)
            log.warning("a message came with properties that cannot be read: %s", reason(error))
            whole = spec.FRAME_HEADER_SIZE + size + spec.FRAME_END_SIZE
            return whole, frame.Header(channel, length, pika.BasicProperties())


def parameters_for(url: str, name: str, heartbeat: int) -> pika.URLParameters:
    """Connection parameters with this project's timeouts where the URL sets none. Raises ValueError."""
    parameters = pika.URLParameters(url)
    defaults = {"heartbeat": heartbeat, "blocked_connection_timeout": BLOCKED, "tcp_options": SILENCE}
    for setting, value in defaults.items():
        if getattr(parameters, setting) is None:
            setattr(parameters, setting, value)
    parameters.client_properties = {"connection_name": name}
    return parameters


def user_in(parameters: pika.connection.Parameters) -> str:
    """The broker user who connects with these."""
    credentials: Any = parameters.credentials
    return str(credentials.username)


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
