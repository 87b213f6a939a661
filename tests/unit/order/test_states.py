"""What is printed of a step's states is what `decide` does."""

import pytest

from order_service.fulfillment.saga import StepStatus
from order_service.fulfillment.states import Transition, transitions
from order_service.fulfillment.workflow import newest


def of(name: str) -> list[Transition]:
    return transitions(newest(), newest().named[name])


@pytest.mark.parametrize("name", newest().named)
def test_every_state_that_is_reached_begins_somewhere(name: str) -> None:
    """A step begins as waiting, and each state that something leaves was reached before."""
    reached = {"waiting"}
    for each in of(name):
        assert each.before in reached
        reached.add(each.after)


def test_all_statuses_occur() -> None:
    """No status is there for nothing."""
    reached = {each.after.partition(",")[0] for name in newest().named for each in of(name)} | {"waiting"}
    assert reached == {status.value for status in StepStatus}


def test_the_pivot_is_never_undone() -> None:
    """Once the capture is asked, an order that is to turn back is not told so by it: only a person withdraws it."""
    left = {each.heard for each in of("capture") if each.after == "withdrawn"}
    assert left == {"an operator reverses it"}


def test_what_is_parked_is_asked_again_and_settled_by_any_answer() -> None:
    """Silence never ends a step that must be done."""
    heard = {each.heard: each.after for each in of("issue") if each.before == "requested, parked"}
    assert heard["stock.issued"] == heard["an operator settles it"] == "done"
    assert "an operator retries it" in heard
