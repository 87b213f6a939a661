"""The payment service, as data."""

from payment_service.gateway import LOST_ONCE, CardNetwork, SimulatedCardNetwork, policy
from payment_service.handlers import CALLS, HANDLERS
from payment_service.store import METADATA, TABLES, WORLD, Payments, forget_tokens
from shared.clock import DatabaseClock
from shared.config import Settings
from shared.database import Database
from shared.messaging import Handling
from shared.outside.simulator import Simulator, conduct_from, longest_wait
from shared.service import Service


def handling(settings: Settings, database: Database) -> Handling:
    """All that a worker needs, with the simulated card network at the other end."""
    conduct, longest = conduct_from(settings), longest_wait(settings)
    simulator = Simulator(WORLD, database, DatabaseClock(), policy, conduct, longest_wait=longest, lost_once=LOST_ONCE)
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
