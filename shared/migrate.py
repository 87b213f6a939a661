"""Alembic migrations for each service, without any ini file: one small script folder per service."""

from collections.abc import Mapping
from types import MappingProxyType

from alembic import command, context
from alembic.config import Config
from sqlalchemy import Connection, MetaData

from shared.database import Database
from shared.database.grants import grant
from shared.service import Service


def config(package: str, connection: Connection) -> Config:
    """Alembic's configuration for the migrations in `‹package›/migrations`, on an open connection."""
    settings = Config()
    settings.set_main_option("script_location", f"{package}:migrations")
    settings.set_main_option("path_separator", "os")
    settings.attributes["connection"] = connection
    return settings


NO_ROLES: Mapping[str, str] = MappingProxyType({})


def migrate(service: Service, database: Database, *, seed: bool = True, roles: Mapping[str, str] = NO_ROLES) -> None:
    """Bring the service's tables up to date and leave its demo data behind; safe to repeat and to run twice at once.

    On PostgreSQL, `roles` (names by kind) are granted what they need of the tables, and nothing else.
    """
    with database.transaction() as connection:
        if database.is_postgresql:
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('migrate'))")
        command.upgrade(config(service.package, connection), "head")
        if database.is_postgresql:
            grant(connection, service.metadata, roles)
        if seed:
            service.seed(connection)


def run_env(metadata: MetaData) -> None:
    """What a service's `migrations/env.py` does."""
    connection: Connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()
