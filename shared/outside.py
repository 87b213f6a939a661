"""What the outside world (a card network, a carrier) can say. No answer at all is None: what it did is then unknown."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Approved:
    """Done; `reference` is the outside's own number for it."""

    reference: str


@dataclass(frozen=True)
class Refused:
    """Not done, and never will be under this key; `detail` says why."""

    detail: str


@dataclass(frozen=True)
class Unreachable:
    """This call did not get there (the connection was refused): it did nothing. Another one may have.

    `intent` tells which call it was, for those who number theirs.
    """

    intent: int = 0


Answer = Approved | Refused | Unreachable | None
