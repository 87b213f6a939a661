"""The port to a message broker: pull-shaped, at-least-once, with exact bindings, acknowledgments and dead letters.

Two adapters keep the same promises under one contract suite: `rabbitmq` and `embedded`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct

from shared.messaging.envelope import Envelope


class ConnectionLost(Exception):
    """The broker is away. What was taken and not acknowledged comes again; what was not confirmed is unknown."""


class AccessRefused(ConnectionLost):
    """The broker does not let this user in, or not do this. Waiting alone will hardly help: somebody must be told."""


class Delivery(Struct, frozen=True, kw_only=True):
    """A message handed to this worker and not yet acknowledged."""

    envelope: Envelope
    tag: int  # the adapter's handle
    drops: int = 0  # how often it was delivered before to somebody who did not acknowledge it
    death: str | None = None  # from the dead-letter queue: the broker's reason ("delivery_limit", "rejected", …)
    replay_of: str | None = None  # not from the broker: the id of the dead letter that is worked again under a new id


Letter = tuple[Delivery, str]  # what cannot be worked, and why


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What became of published messages since last asked, by message id."""

    confirmed: list[str] = field(default_factory=list)  # stored at every bound queue
    refused: dict[str, str] = field(
        default_factory=dict
    )  # id -> reason: returned (no queue bound), nacked, or unknown since the connection broke


class Connection(Protocol):
    """One worker's connection to the broker, for one service: consumes `{service}.inbox` and `{service}.dlq`, publishes
    to `{service}.events`. All calls come from one thread, which also does the input and output; `wake` from any thread.

    Every call but `wake` and `close` raises ConnectionLost when consuming is impossible; the worker then closes this
    connection and opens another one. A broken or blocked publishing side alone is not a loss: its messages come back as
    refused, and publishing resumes by itself.
    """

    @property
    def events_per_message(self) -> float:
        """How many messages, as this port has them, of late came in one message of the broker."""

    def take(self, limit: int, timeout: float) -> list[Delivery]:
        """At most `limit` messages, what is there, without lingering; waits at most `timeout` seconds for the first.

        Returns early, perhaps empty, after `wake()`.
        """

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """They are done with and will not come again; returns at once.

        Except along with others that they travelled with, if those are not acknowledged: then they come once more.
        """

    def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Hand them over, persistent and mandatory, by their type; returns at once. `settled` tells how it went."""

    def settled(self) -> Settled:
        """What became of published messages since the last call. A message not named is still under way."""

    def prefetch(self, count: int) -> None:
        """From now on hold at most `count` unacknowledged messages of the inbox, apart from those already held.

        A connection starts with 1. What travels together counts as 1 then, never less than that comes, and how much
        that is must be guessed from what came of late: ask again after each `take`. While narrowing, messages already
        received stay takeable.
        """

    def wake(self) -> None:
        """Make a `take` that waits, or the next one, return at once. From any thread, and from a signal handler."""

    def close(self) -> None:
        """Give back what was not acknowledged. Never raises; may be called twice."""


class Broker(Protocol):
    """Where connections come from."""

    def connect(self, service: str) -> Connection:
        """Open a connection for a service whose topology is provisioned; raises ConnectionLost."""
