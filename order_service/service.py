"""The order service, as data."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask import Flask

from order_service.catalog import seed
from order_service.fulfillment.workflow import WORKFLOWS
from order_service.handlers import HANDLERS
from order_service.placing import Terms
from order_service.sagas import Flows, Sagas
from order_service.tables import METADATA, TABLES
from order_service.timers import due
from shared.clock import DatabaseClock
from shared.config import Misconfigured, Settings
from shared.database import Database, Transaction
from shared.messaging.handling import Answers, Handling
from shared.messaging.notifier import Notifier
from shared.service import Service


def flows(settings: Settings) -> Flows:
    """Every version of the workflow, with the configured patience. Raises Misconfigured for a step that none has."""
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
    """What holds for new orders: the newest workflow, the currency, and from which total on a person must agree."""
    paced = flows(settings)
    return Terms(flow=paced[max(paced)], currency=settings.currency, approval_from=settings.approval_from)


def handling(settings: Settings, database: Database) -> Handling:
    """All that a worker needs."""
    paced = flows(settings)

    def load(connection: Transaction, facts: Sequence[Any], now: datetime, answers: Answers) -> Sagas:
        return Sagas.load(connection, {fact.order_id for fact in facts}, paced, now)

    return Handling(handlers=HANDLERS, load=load, due=lambda connection, now, most: due(connection, paced, now, most))


def web(settings: Settings, database: Database, notifier: Notifier) -> Flask:
    from order_service.web import create_app

    return create_app(settings, database, notifier)


SERVICE = Service(
    name="order",
    package="order_service",
    metadata=METADATA,
    tables=TABLES,
    handlers=HANDLERS,
    handling=handling,
    web=web,
    seed=seed,
    clock=DatabaseClock(),
)
