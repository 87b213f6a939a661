"""The order service, as data."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from order_service.catalog import seed
from order_service.forgetting import Retention
from order_service.handlers import HANDLERS
from order_service.participants import URLS
from order_service.sagas import Sagas
from order_service.standing import measure
from order_service.tables import METADATA, TABLES
from order_service.terms import flows
from order_service.timers import due
from shared.clock import DatabaseClock
from shared.config import Settings
from shared.database import Database, Transaction
from shared.messaging.handling import Answers, Handling
from shared.service import Service

CLOCK = DatabaseClock()  # of this process's workers


def handling(settings: Settings, database: Database) -> Handling:
    """All that a worker needs."""
    paced, recovered = flows(settings), set[str]()

    def load(connection: Transaction, facts: Sequence[Any], now: datetime, answers: Answers) -> Sagas:
        sagas = Sagas.load(connection, {fact.order_id for fact in facts}, paced, now, CLOCK.jump)
        sagas.recovered = recovered
        return sagas

    def pass_time(connection: Transaction, now: datetime, most: int) -> Sequence[Any]:
        return due(connection, paced, now, most, recovered, CLOCK.jump)

    forget = Retention(settings.personal_days, settings.idempotency_days)
    return Handling(handlers=HANDLERS, load=load, due=pass_time, forget=forget)


def measuring(settings: Settings, connection: Connection, now: datetime) -> None:
    """How orders stand; the workflow says which steps are parked."""
    measure(connection, flows(settings), now)


SERVICE = Service(
    name="order",
    package="order_service",
    port=8000,
    metadata=METADATA,
    tables=TABLES,
    handlers=HANDLERS,
    handling=handling,
    seed=seed,
    measure=measuring,
    clock=CLOCK,
    urls=URLS,
)
