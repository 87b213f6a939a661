"""What the author of a service writes: handlers, what they ask of the outside, and how a batch's rows are loaded."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from shared.database import Transaction
from shared.messaging.envelope import Envelope, Message


class Unprocessable(Exception):
    """Raised by a handler that has touched nothing yet: this message goes to the dead letters, the text says why."""


class Stop(Exception):
    """Raised by a handler: this worker must not go on; it leaves everything unacknowledged and ends with this text."""


Handlers = Mapping[type[Any], Callable[[Any, Any], Any]]
Answers = Mapping[str, Any]  # what the outside said, by idempotency key; None where no answer came


class UnitOfWork(Protocol):
    """The rows that a batch needs, in memory; `cause` is the envelope being handled."""

    cause: Envelope | None

    def flush(self) -> None:
        """Write what changed, set by set."""


@dataclass(frozen=True)
class Call:
    """Something to be asked of the outside, outside any transaction. `key` is the same however often it is asked."""

    key: str
    order_id: str
    request: Any


Ask = Callable[[Sequence[Call]], Answers]
Forget = Callable[[Transaction, datetime, int], bool]
"""Forgets at most so many things that are old at that time; says whether there may be more."""


def ask_nobody(calls: Sequence[Call]) -> Answers:
    """For a service that makes no calls."""
    raise NotImplementedError(f"nobody is there to answer {calls[0].key}")


def forget_nothing(connection: Transaction, now: datetime, most: int) -> bool:
    """For a service that keeps nothing of a person."""
    return False


@dataclass(frozen=True, kw_only=True)
class Handling:
    """How a service works its messages.

    `handlers` maps each message class to `handler(message, unit_of_work)`, which returns what is to be published: one
    message, several, or None. `load` opens the unit of work for some messages, with the answers that are there. `calls`
    maps message classes to `call(message, unit_of_work)`: what the row, as the handler left it, must still ask outside;
    such a handler runs again with the answer. `ask` makes such calls, concurrently, and returns the answers that came;
    a call that failed has none. It takes at most `longest_call` seconds; a batch that has waited for so long makes no
    more calls. `due` moves at most so many things whose time has come, and returns what is to be
    published. `forget` removes what is personal from what is old.
    """

    handlers: Handlers
    load: Callable[[Transaction, Sequence[Any], datetime, Answers], UnitOfWork]
    calls: Handlers = field(default_factory=dict)
    ask: Ask = ask_nobody
    longest_call: float = math.inf
    due: Callable[[Transaction, datetime, int], Sequence[Message]] | None = None
    forget: Forget = forget_nothing
