"""The payment service, as data."""

from flask import Flask

from payment_service.gateway import SimulatedCardNetwork, policy
from payment_service.handlers import CALLS, HANDLERS
from payment_service.store import METADATA, TABLES, WORLD, Payments
from shared.clock import SystemClock
from shared.config import Settings
from shared.database import Database
from shared.messaging.handling import Handling
from shared.messaging.notifier import Notifier
from shared.outside.simulator import Simulator, conduct_from
from shared.service import Service


def handling(settings: Settings, database: Database) -> Handling:
    """All that a worker needs, with the simulated card network at the other end."""
    simulator = Simulator(WORLD, database, SystemClock(), policy, conduct_from(settings))
    return Handling(handlers=HANDLERS, load=Payments.load, calls=CALLS, ask=SimulatedCardNetwork(simulator).ask)


def web(settings: Settings, database: Database, notifier: Notifier) -> Flask:
    from payment_service.web import create_app

    return create_app(settings, database, notifier)


SERVICE = Service(
    name="payment",
    package="payment_service",
    metadata=METADATA,
    tables=TABLES,
    handlers=HANDLERS,
    handling=handling,
    web=web,
)
