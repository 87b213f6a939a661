"""The payment service, as data."""

from payment_service.gateway import LOST_ONCE, CardNetwork, SimulatedCardNetwork, policy
from payment_service.handlers import CALLS, HANDLERS
from payment_service.store import METADATA, TABLES, WORLD, Payments, forget_tokens
from shared.config import Settings
from shared.database import Database
from shared.messaging import Handling
from shared.outside.simulator import Simulator
from shared.service import Service


def handling(settings: Settings, database: Database) -> Handling:
    """All that a worker needs, with the simulated card network at the other end."""
    simulator = Simulator.configured(settings, WORLD, database, policy, LOST_ONCE)
    network: CardNetwork = SimulatedCardNetwork(simulator)
    return Handling(
        handlers=HANDLERS,
        load=Payments.load,
        calls=CALLS,
        ask=network.ask,
        longest_call=settings.longest_call.total_seconds(),
        forget=forget_tokens.after(settings.personal_days),
    )


SERVICE = Service(
    name="payment",
    package="payment_service",
    port=8001,
    metadata=METADATA,
    tables=TABLES,
    handlers=HANDLERS,
    handling=handling,
)
