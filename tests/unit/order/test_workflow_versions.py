"""Orders of two versions of the workflow run side by side, each to its own end."""

import pytest

from order_service.fulfillment.saga import Saga
from order_service.fulfillment.workflow import WORKFLOWS
from shared.contracts import (
    CaptureRequested,
    DispatchRequested,
    PaymentRequested,
    PaymentReversalRequested,
    ShipmentCancellationRequested,
    ShipmentRequested,
    StockIssueRequested,
    StockReleaseRequested,
    StockRequested,
)
from tests.unit.order.scenario import (
    FACTS,
    PREPAID,
    Scenario,
    authorized,
    booked,
    captured,
    dispatched,
    given,
    granted,
    issued,
    placed,
    reserved,
    unavailable,
    wait,
)

VERSIONS = {**WORKFLOWS, 2: PREPAID}


def test_two_versions_run_side_by_side() -> None:
    """A running saga keeps the version it began with: the same facts lead each order on its own way to its end."""
    old, new = given(), given(flow=PREPAID)
    old, new = old.when(placed).then(PaymentRequested, StockRequested), new.when(placed).then(StockRequested)
    old, new = old.when(reserved).then(), new.when(reserved).then(PaymentRequested)
    old = old.when(authorized).then(ShipmentRequested, status="confirmed")
    new = new.when(authorized).then(ShipmentRequested, status="confirmed")
    old, new = old.when(booked).then(CaptureRequested), new.when(booked).then(CaptureRequested)
    old = old.when(captured).then(StockIssueRequested, DispatchRequested, status="paid")
    new = new.when(captured).then(DispatchRequested, status="paid")
    old, new = old.when(dispatched).then(status="paid"), new.when(dispatched).then(StockIssueRequested, status="paid")
    old.when(issued).then(status="fulfilled")
    new.when(issued).then(status="fulfilled")


def test_each_version_undoes_what_it_asked() -> None:
    """Turning back follows the version too: what the later one had not asked yet needs no undo."""
    given(placed).when(unavailable).then(PaymentReversalRequested, reason="out_of_stock")
    given(placed, flow=PREPAID).when(unavailable).then(status="cancelled", reason="out_of_stock")
    undone = (StockReleaseRequested, PaymentReversalRequested, ShipmentCancellationRequested)
    given(placed, reserved, authorized, flow=PREPAID).when(wait(minutes=1), wait(minutes=2)).when(wait(minutes=4)).then(
        *undone, status="cancelling", reason="timed_out"
    )


def test_an_event_of_another_version_is_noted() -> None:
    """An event that this version has no part for is heard and written down, and changes nothing."""
    given(placed, flow=PREPAID).when(granted).then(noted="no part of version 2 of the workflow", status="pending")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_saga_goes_on_with_the_version_that_it_is_stored_with(version: int) -> None:
    """What is stored of a saga, facts and steps and a version number, is enough to go on."""
    flow = VERSIONS[version]
    order = given(placed, reserved, authorized, flow=flow)
    stored = Saga(dict(order.saga.facts), dict(order.saga.steps), order.saga.backward)
    order = Scenario(VERSIONS[version], stored).hears(booked, captured, dispatched, issued)
    assert order.status == "fulfilled"
    assert order.saga.facts == {**FACTS, **told(authorized, booked, captured)}


def told(*events: object) -> dict[str, object]:
    return {name: getattr(event, name) for event in events for name in event.__struct_fields__}
