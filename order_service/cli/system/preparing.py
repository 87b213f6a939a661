"""What must be there before the processes of all services start: servers that answer, databases with their tables."""

import time
from urllib.parse import urlsplit

import click
from sqlalchemy import make_url, text
from sqlalchemy.engine import URL

from order_service.cli.stack import answers
from shared.addresses import address
from shared.bootstrap import open_database
from shared.config import Settings
from shared.database import Database, DatabaseError
from shared.logs import first_line
from shared.migrate import migrate
from shared.service import services

BOOTING = 60.0  # seconds that a server is given to answer
PORTS = {"amqp": 5672, "amqps": 5671, "postgresql+psycopg": 5432}


def wait_for(url: str) -> None:
    """Return when a server answers at its address, which it may not do yet while it boots; raises ClickException."""
    parts, until, told = urlsplit(url), time.monotonic() + BOOTING, False
    host, port = parts.hostname or "127.0.0.1", parts.port or PORTS[parts.scheme]
    while not answers(port, host=host, greets=parts.scheme == "amqp"):
        if time.monotonic() > until:
            raise click.ClickException(f"{address(url)} has not answered for {BOOTING:.0f} s")
        if not told:
            click.echo(f"waits for {address(url)}, which does not answer yet")
        told = True
        time.sleep(0.2)


def prepare(name: str, settings: Settings, create: bool) -> None:
    """Make the database where it may be made, and bring its tables up to date."""
    if settings.database_url.startswith("postgresql"):
        wait_for(settings.database_url)
        if create:
            create_database(make_url(settings.database_url))
    try:
        with open_database(settings) as database:
            migrate(services()[name], database, seed=settings.seed == "demo")
    except DatabaseError as error:
        raise click.ClickException(f"the database of {name} cannot be prepared: {first_line(error)}") from error
    click.echo(f"the tables of {name} are up to date")


def create_database(url: URL) -> None:
    """Create a PostgreSQL database unless it exists; raises ClickException when that is not possible."""
    server = Database(url.set(database="postgres").render_as_string(hide_password=False))
    try:
        with server, server.reading() as connection:  # in no transaction, as PostgreSQL wants it
            known = text("SELECT 1 FROM pg_database WHERE datname = :name")
            if connection.execute(known, {"name": url.database}).first() is None:
                quoted = connection.dialect.identifier_preparer.quote_identifier(url.database or "")
                connection.execute(text(f"CREATE DATABASE {quoted}"))
                click.echo(f"created database {url.database}")
    except DatabaseError as error:
        raise click.ClickException(f"database {url.database} cannot be created: {error}") from error
