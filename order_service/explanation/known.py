"""What is known of an order when it is explained."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from order_service.fulfillment.saga import Workflow
from order_service.participants import Saying
from order_service.story import Entry
from order_service.view import Order


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """A message about the order that a service could not work."""

    service: str
    message_id: str
    type: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Account:
    """What one service says of the order; `error` says why it could not be asked. The order service's own account has
    letters only."""

    service: str
    saying: Saying | None = None
    letters: Sequence[DeadLetter] = ()
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Possible:
    """Something that can be done, and the command that does it."""

    text: str
    command: str


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of an order at the moment `now`.

    `unsent` are the types of its messages that have not left, `accounts` what the services say. With `internals` it is
    told to somebody whose business that is.
    """

    order: Order
    flow: Workflow
    history: Sequence[Entry]
    now: datetime
    unsent: Collection[str] = ()
    accounts: Sequence[Account] = ()
    possible: Sequence[Possible] = ()
    internals: bool = False
