"""What holds for orders: each version of the workflow with the configured timeouts, and the terms of new orders."""

from collections.abc import Mapping
from dataclasses import dataclass

from order_service.fulfillment.saga import Workflow
from order_service.fulfillment.workflow import WORKFLOWS, newest
from shared.config import Misconfigured, Settings
from shared.messaging.handling import Stop

Flows = Mapping[int, Workflow]  # by version


class UnknownVersion(Stop):
    """An order runs a version of the workflow that this process does not have: it is older than the order."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What holds for orders placed now."""

    flow: Workflow
    currency: str
    approval_from: int  # minor units


def flows(settings: Settings) -> Flows:
    """Every version of the workflow, with the configured timeouts. Raises Misconfigured for a step that none has."""
    timeouts, attempts = settings.step_timeouts, settings.step_attempts
    steps = {name for flow in WORKFLOWS.values() for name in flow.named}
    for variable, named in (("STEP_TIMEOUTS", timeouts), ("STEP_ATTEMPTS", attempts)):
        if unknown := named.keys() - steps:
            raise Misconfigured(f"order: {variable} names no step of any workflow: {', '.join(sorted(unknown))}")
    return {
        version: flow.paced(
            {name: value for name, value in timeouts.items() if name in flow.named},
            {name: value for name, value in attempts.items() if name in flow.named},
            settings.slowest_pace,
        )
        for version, flow in WORKFLOWS.items()
    }


def terms(settings: Settings) -> Terms:
    """The newest workflow, the currency, and from which total on a person must agree."""
    paced = flows(settings)
    return Terms(flow=paced[newest().version], currency=settings.currency, approval_from=settings.approval_from)


def flow_of(flows: Flows, order_id: str, version: int) -> Workflow:
    """The workflow that an order began with; raises UnknownVersion."""
    if version not in flows:
        known = ", ".join(map(str, flows))
        raise UnknownVersion(f"order {order_id} runs version {version} of the workflow, this program knows {known}")
    return flows[version]
