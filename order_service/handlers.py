"""What the order service does with the facts it hears: tell them to the saga that they are about."""

from order_service.fulfillment.workflow import WORKFLOWS
from order_service.sagas import Sagas
from shared.contracts import Event


def heard(fact: Event, sagas: Sagas) -> tuple[Event, ...]:
    return sagas.hear(fact)


# The facts of every version that may still be running.
HANDLERS = {fact: heard for flow in WORKFLOWS.values() for fact in sorted(flow.hears, key=lambda each: each.type)}
