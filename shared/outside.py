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
    """This call did not get there (the connection was refused): it did nothing. An earlier call may have."""


Answer = Approved | Refused | Unreachable | None
