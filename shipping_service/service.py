"""The shipping service, as data."""

from shared.config import Settings
from shared.database import Database
from shared.messaging import Handling
from shared.outside.simulator import Simulator
from shared.service import Service
from shipping_service.gateway import Carriers, SimulatedCarriers, policy
from shipping_service.handlers import CALLS, HANDLERS
from shipping_service.store import METADATA, TABLES, WORLD, Shipments, forget_addresses


def handling(settings: Settings, database: Database) -> Handling:
    """All that a worker needs, with the simulated carriers at the other end."""
    simulator = Simulator.configured(settings, WORLD, database, policy)
    carriers: Carriers = SimulatedCarriers(simulator)
    return Handling(
        handlers=HANDLERS,
        load=Shipments.load,
        calls=CALLS,
        ask=carriers.ask,
        longest_call=settings.longest_call.total_seconds(),
        forget=forget_addresses.after(settings.personal_days),
    )


SERVICE = Service(
    name="shipping",
    package="shipping_service",
    port=8003,
    metadata=METADATA,
    tables=TABLES,
    handlers=HANDLERS,
    handling=handling,
)
