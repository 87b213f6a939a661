"""What a network and a broker may do to messages, for a simulation to decide and the embedded broker to carry out."""

from collections.abc import Sequence
from typing import Protocol

from shared.messaging.envelope import Envelope


class Faults(Protocol):
    """What a broker and a network may do to messages. One that changes nothing is `NoFaults`."""

    def arrivals(self, envelope: Envelope, queue: str) -> Sequence[float] | None:
        """After how many seconds each copy of a message arrives at a queue.

        `[0.0]` is honest, `[2.5]` delays it, `[0.0, 1.0]` delivers it twice, `[]` loses it although it is confirmed,
        and None refuses it. Messages that are delayed differently change places.
        """

    def next(self, queue: str, waiting: int) -> int:
        """Which of the `waiting` messages, counted from 0, is delivered next."""

    def cuts(self, service: str) -> bool:
        """Whether a connection of this service breaks now; asked at each call of its port."""


class NoFaults:
    """No faults: each message once, at once, in order."""

    def arrivals(self, envelope: Envelope, queue: str) -> Sequence[float] | None:
        return (0.0,)

    def next(self, queue: str, waiting: int) -> int:
        return 0

    def cuts(self, service: str) -> bool:
        return False
