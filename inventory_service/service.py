"""The inventory service, as data."""

from inventory_service.handlers import HANDLERS
from inventory_service.receipts import seed
from inventory_service.store import METADATA, TABLES, Reservations
from shared.config import Settings
from shared.database import Database
from shared.messaging import Handling
from shared.service import Service


def handling(settings: Settings, database: Database) -> Handling:
    """All that a worker needs."""
    return Handling(handlers=HANDLERS, load=Reservations.load)


SERVICE = Service(
    name="inventory",
    package="inventory_service",
    port=8002,
    metadata=METADATA,
    tables=TABLES,
    handlers=HANDLERS,
    handling=handling,
    seed=seed,
)
