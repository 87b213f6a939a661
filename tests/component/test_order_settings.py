"""What the environment may change about orders: patience, currency, and from which total on a person must agree."""

from datetime import timedelta

import pytest

from order_service.fulfillment.workflow import FULFILLMENT, WORKFLOWS
from order_service.terms import flows, terms
from shared.config import Misconfigured, Settings, load


def settings(**environ: str) -> Settings:
    return load(service="order", environ=environ)


def test_nothing_said_is_the_workflow_as_declared() -> None:
    """Without configuration every version has the patience that its page says."""
    assert flows(settings()) == WORKFLOWS


def test_patience_is_configured_by_step() -> None:
    """Timeouts and attempts change for the steps that are named, and only for them."""
    told = settings(STEP_TIMEOUTS="payment=5,shipping=0.5", STEP_ATTEMPTS="payment=7", SLOWEST_PACE="60")
    flow = flows(told)[1]
    assert flow.named["payment"].timeout == timedelta(seconds=5)
    assert flow.named["payment"].attempts == 7
    assert flow.named["shipping"].timeout == timedelta(seconds=0.5)
    assert flow.named["inventory"] == FULFILLMENT.named["inventory"]
    assert flow.slowest == timedelta(seconds=60)


@pytest.mark.parametrize("variable", ["STEP_TIMEOUTS", "STEP_ATTEMPTS"])
def test_a_step_that_is_in_no_workflow_ends_the_start(variable: str) -> None:
    """A slip of the pen is found at once, and named."""
    with pytest.raises(Misconfigured, match=f"{variable}.*paymnet"):
        flows(settings(**{variable: "paymnet=5"}))


def test_new_orders_get_the_newest_terms() -> None:
    """The newest workflow, the one currency, and the configured limit hold for orders placed from now on."""
    told = terms(settings(CURRENCY="GBP", APPROVAL_FROM="1000"))
    assert (told.flow, told.currency, told.approval_from) == (WORKFLOWS[max(WORKFLOWS)], "GBP", 1000)
