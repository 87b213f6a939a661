"""Messages, each worked once. Here is what the author of a service needs; `handling` explains it."""

from shared.messaging.envelope import Envelope, Message
from shared.messaging.handling import Answers, Call, Handlers, Handling, Stop, UnitOfWork, Unprocessable

__all__ = ["Answers", "Call", "Envelope", "Handlers", "Handling", "Message", "Stop", "UnitOfWork", "Unprocessable"]
