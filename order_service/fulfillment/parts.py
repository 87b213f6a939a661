"""The parts that participants have in an order, and what each of their statuses means. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, auto


class Stage(StrEnum):
    """How far a participant is with its part of an order."""

    NOTHING = auto()  # it does not know the order
    WORKING = auto()  # it has begun, and the outside has not answered
    HELD = auto()
    FINISHING = auto()
    FINISHED = auto()
    REFUSED = auto()
    UNDONE = auto()  # for good: whoever asks again is told so


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one participant does for an order: a step that holds something, and one after the pivot that finishes it.

    `stages` says what its statuses mean. `lasting` are the stages that nothing undoes.
    """

    service: str
    first: str
    second: str
    stages: Mapping[str, Stage]
    lasting: frozenset[Stage] = frozenset()


NOTHING = "unknown"  # the status of what a participant does not know
PARTS = (
    Part(
        service="payment",
        first="payment",
        second="capture",
        stages={
            NOTHING: Stage.NOTHING,
            "authorizing": Stage.WORKING,
            "authorized": Stage.HELD,
            "declined": Stage.REFUSED,
            "capturing": Stage.FINISHING,
            "captured": Stage.FINISHED,
            "voided": Stage.UNDONE,
            "refunded": Stage.UNDONE,
        },
    ),
    Part(
        service="inventory",
        first="inventory",
        second="issue",
        stages={
            NOTHING: Stage.NOTHING,
            "reserved": Stage.HELD,
            "unavailable": Stage.REFUSED,
            "issued": Stage.FINISHED,
            "released": Stage.UNDONE,
        },
        lasting=frozenset({Stage.FINISHED}),
    ),
    Part(
        service="shipping",
        first="shipping",
        second="dispatch",
        stages={
            NOTHING: Stage.NOTHING,
            "booking": Stage.WORKING,
            "booked": Stage.HELD,
            "refused": Stage.REFUSED,
            "dispatching": Stage.FINISHING,
            "dispatched": Stage.FINISHED,
            "cancelled": Stage.UNDONE,
        },
        lasting=frozenset({Stage.FINISHING, Stage.FINISHED}),
    ),
)
