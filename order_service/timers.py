"""Timers: deadlines pass for the sagas that they are due for."""

from datetime import datetime

from order_service.fulfillment.inputs import Tick
from order_service.sagas import Sagas
from order_service.terms import Flows
from shared.contracts import Event
from shared.database import Transaction

TICK = Tick()


def due(connection: Transaction, flows: Flows, now: datetime, most: int) -> list[Event]:
    """Say Tick to at most `most` sagas that are due; returns what is to be published.

    Each is locked, and passed over by other workers meanwhile: nobody acts twice, and a crash only makes it late.
    """
    sagas = Sagas.due(connection, flows, now, most)
    said = [message for held in sagas.held.values() for message in held.hear(TICK, now, "clock").messages]
    sagas.flush()
    return said
