"""What a service is: its name, its tables, what it handles, its API. The four are found by entry point."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from sqlalchemy import Connection, MetaData

from shared.clock import Clock, DatabaseClock
from shared.config import Settings, load
from shared.database import Database
from shared.messaging.durability.tables import Tables
from shared.messaging.handling import Handlers, Handling
from shared.messaging.notifier import Notifier

if TYPE_CHECKING:
    from flask import Flask


@dataclass(frozen=True, kw_only=True)
class Service:
    """One service, as data.

    `port` is where its API listens unless told otherwise. `handlers` maps the messages it consumes to their handlers:
    the keys are its queue's bindings. `handling` completes them, for given settings and database, to all that a worker
    needs. `seed` leaves the demo data behind. `measure` sets gauges of its own, from queries
    that an index answers. `urls` are the APIs of other services that it asks, as they are unless
    told otherwise. Its own API is made by `‹package›.web.create_app`, and migrations are in `‹package›/migrations`.
    """

    name: str
    package: str
    port: int
    metadata: MetaData
    tables: Tables
    handlers: Handlers
    handling: Callable[[Settings, Database], Handling]
    seed: Callable[[Connection], None] = lambda connection: None
    measure: Callable[[Settings, Connection, datetime], None] = lambda settings, connection, now: None
    clock: Clock = field(default_factory=DatabaseClock)
    urls: Mapping[str, str] = field(default_factory=dict)

    def settings(
        self, *, environ: Mapping[str, str] | None = None, required: Collection[str] = (), **overrides: str
    ) -> Settings:
        """Its settings, from the environment unless `environ` is given; `overrides`, by field name, win.

        Raises Misconfigured for what is malformed, and for `required` variables that are not set.
        """
        return load(
            service=self.name, port=self.port, urls=self.urls, environ=environ, required=required, overrides=overrides
        )

    def web(self, settings: Settings, database: Database, notifier: Notifier) -> "Flask":
        """Its API. What that needs is imported now: a worker needs none of it."""
        from shared.asyncapi import document
        from shared.http.app import publish

        app: Flask = import_module(f"{self.package}.web").create_app(settings, database, notifier)
        publish(app, "/asyncapi.json", lambda: document({self.name: list(self.handlers)}))
        return app


@cache
def services() -> Mapping[str, Service]:
    """All installed services by name, in alphabetical order."""
    found = {each.name: each.load() for each in entry_points(group="fulfillment.services")}
    return dict(sorted(found.items()))
