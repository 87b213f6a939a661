"""What a service is: its name, its tables, what it handles, its API. The four are found by entry point."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points

from flask import Flask
from sqlalchemy import Connection, MetaData

from shared.clock import Clock, SystemClock
from shared.config import Settings
from shared.database import Database
from shared.messaging.durability.tables import Tables
from shared.messaging.handling import Handlers, Handling
from shared.messaging.notifier import Notifier


@dataclass(frozen=True, kw_only=True)
class Service:
    """One service, as data.

    `handlers` maps the messages it consumes to their handlers: the keys are its queue's bindings. `handling` completes
    them, for given settings and database, to all that a worker needs. `web` builds its API. `seed` leaves the demo data
    behind. Migrations are in `‹package›/migrations`.
    """

    name: str
    package: str
    metadata: MetaData
    tables: Tables
    handlers: Handlers
    handling: Callable[[Settings, Database], Handling]
    web: Callable[[Settings, Database, Notifier], Flask]
    seed: Callable[[Connection], None] = lambda connection: None
    clock: Clock = field(default_factory=SystemClock)


@cache
def services() -> Mapping[str, Service]:
    """All installed services by name, in alphabetical order."""
    found = {each.name: each.load() for each in entry_points(group="fulfillment.services")}
    return dict(sorted(found.items()))
