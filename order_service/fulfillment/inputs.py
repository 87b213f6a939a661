"""What people and the clock say to an order. What other services say is in `shared/contracts.py`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal


@dataclass(frozen=True, kw_only=True)
class Input:
    """What a person or the clock says to an order, in no need of a wire; `note` is their own words, for the history."""

    type: ClassVar[str]
    note: str | None = None

    @property
    def detail(self) -> str | None:
        return self.note


class OrderPlaced(Input):
    type = "order_placed"


class Tick(Input):
    type = "tick"


@dataclass(frozen=True, kw_only=True)
class CancellationRequested(Input):
    type = "cancellation_requested"
    by: Literal["customer", "operator"] = "customer"


class ApprovalGranted(Input):
    type = "approval_granted"


class ApprovalRefused(Input):
    type = "approval_refused"


@dataclass(frozen=True, kw_only=True)
class StepInput(Input):
    """What an operator says about the step of this name."""

    step: str


class ReversalRequested(StepInput):
    type = "reversal_requested"  # withdraw the pivot, asked and unanswered, and turn back


class RetryRequested(StepInput):
    type = "retry_requested"  # ask now, and count the attempts anew


class SettlementRequested(StepInput):
    type = "settlement_requested"  # somebody saw by hand to what needed a person


@dataclass(frozen=True, kw_only=True)
class DeadlineMoved(StepInput):
    type = "deadline_moved"
    deadline: datetime | None  # UTC; None, to wait for ever, only where people are asked


@dataclass(frozen=True, kw_only=True)
class DifferenceFound(StepInput):
    """A participant says otherwise of this step: what that means and what heals it, as `differences` has it."""

    type = "difference_found"
    meaning: str
    healing: str


@dataclass(frozen=True, kw_only=True)
class WorkFound(Input):
    """Participants have worked for an order that there is no more: how far each is, by its name."""

    type = "work_found"
    stages: Mapping[str, str]
