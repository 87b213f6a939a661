"""What an explanation consists of."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, TypedDict

import msgspec

from order_service.fulfillment.saga import OrderStatus
from order_service.view import Id


class HappenedView(TypedDict):
    """What happened at a moment."""

    at: datetime
    text: str


class ComingView(TypedDict):
    """What comes by itself; a moment is there where it is known."""

    at: datetime | None
    text: str


class WaitView(TypedDict):
    """Whose answer a step waits for."""

    step: str
    who: str
    since: datetime
    text: str


class PossibleView(TypedDict):
    """What the caller can do about the order now."""

    text: str
    command: str


class ExplanationView(TypedDict):
    """An order in plain words."""

    order_id: Id
    at: datetime
    status: OrderStatus
    summary: str
    story: Annotated[Sequence[HappenedView], msgspec.Meta(description="what happened, the oldest first")]
    waits_for: Sequence[WaitView]
    next: Annotated[Sequence[ComingView], msgspec.Meta(description="what comes by itself, and when")]
    findings: Annotated[Sequence[str], msgspec.Meta(description="what a person should know or look at")]
    possible: Sequence[PossibleView]
    not_asked: Annotated[Sequence[str], msgspec.Meta(description="who could not be asked, and why")]
