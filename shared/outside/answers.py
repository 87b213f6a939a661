"""What the outside world (a card network, a carrier) can say. No answer at all is None: what it did is then unknown."""

from shared.values import Value


class Approved(Value, frozen=True):
    """Done; `reference` is the outside's own number for it."""

    reference: str


class Refused(Value, frozen=True):
    """Not done, and never will be under this key; `detail` says why."""

    detail: str


class Unreachable(Value, frozen=True):
    """This call did not get there (the connection was refused): it did nothing. Another one may have.

    `intent` tells which call it was, for those who number theirs.
    """

    intent: int = 0


Answer = Approved | Refused | Unreachable | None
