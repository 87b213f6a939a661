"""The inventory service, as data."""

from flask import Flask

from inventory_service.handlers import HANDLERS
from inventory_service.receipts import seed
from inventory_service.store import METADATA, TABLES, Reservations
from shared.config import Settings
from shared.database import Database
from shared.messaging.handling import Handling
from shared.messaging.notifier import Notifier
from shared.service import Service


def handling(settings: Settings, database: Database) -> Handling:
    """All that a worker needs."""
    return Handling(handlers=HANDLERS, load=Reservations.load)


def web(settings: Settings, database: Database, notifier: Notifier) -> Flask:
    from inventory_service.web import create_app

    return create_app(settings, database, notifier)


SERVICE = Service(
    name="inventory",
    package="inventory_service",
    metadata=METADATA,
    tables=TABLES,
    handlers=HANDLERS,
    handling=handling,
    web=web,
    seed=seed,
)
