"""What `fulfillment doctor` looks at: each finding says what is wrong, and how to mend it."""

import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Table, literal, select, text

from shared.addresses import address
from shared.bootstrap import open_database
from shared.clock import machine_now
from shared.config import Misconfigured, Settings
from shared.database import Database, DatabaseError
from shared.logs import first_line
from shared.messaging.broker import AccessRefused, ConnectionLost
from shared.messaging.brokers.rabbitmq import RabbitMQ
from shared.migrate import config
from shared.service import Service, services

APART = timedelta(seconds=2)  # clocks may be
PYTHON, SQLITE, POSTGRESQL, RABBITMQ = (3, 11), (3, 35), (13,), (3, 10)  # at least

SettingsOf = Callable[[Service], Settings]  # raises Misconfigured
Now = Callable[[], datetime]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at. `wrong` says what is wrong with it, None if nothing is, and `mend` what to do."""

    check: str
    about: str
    found: str
    wrong: str | None = None
    mend: str | None = None


def examine(settings_of: SettingsOf, now: Now = machine_now) -> Iterator[Finding]:
    """Look at everything, one thing after the other; what needs something that is broken is left out."""
    yield old_or_new("fulfillment", "Python", ".".join(map(str, sys.version_info[:3])), PYTHON)
    broker = None
    for service in services().values():
        try:
            settings = settings_of(service)
        except Misconfigured as error:
            mend = "correct the variable that is named; docs/settings.md has them all"
            yield Finding(check="configuration", about=service.name, found="", wrong=str(error), mend=mend)
            continue
        yield Finding(check="configuration", about=service.name, found="every variable can be read")
        yield from examine_database(service, settings, now)
        broker = broker or settings.broker_url
    if broker:
        yield from examine_broker(broker)


def old_or_new(about: str, program: str, version: str, least: tuple[int, ...]) -> Finding:
    """Whether this version of a program can be used."""
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdecimal())
    if numbers >= least:
        return Finding(check="version", about=about, found=f"{program} {version}")
    wanted = ".".join(map(str, least))
    wrong, mend = f"{program} {version} is too old", f"use {program} {wanted} or newer"
    return Finding(check="version", about=about, found=version, wrong=wrong, mend=mend)


def examine_database(service: Service, settings: Settings, now: Now) -> Iterator[Finding]:
    """Is it there, new enough, right about the time, with the tables of this program, and open to this user?"""
    place = address(settings.database_url)
    if place.startswith("sqlite:///") and not Path(place.removeprefix("sqlite:///")).expanduser().exists():
        mend = f"python -m {service.package} migrate"  # opening it would make an empty one
        yield Finding(
            check="database", about=service.name, found=place, wrong=f"{place}: there is no such file", mend=mend
        )
        return
    try:
        with open_database(settings) as database:
            with database.reading() as connection:
                yield Finding(check="database", about=service.name, found=f"{place} answers")
                yield _version(service, connection)
                yield _clock(service, connection, now)
            migrations = _migrations(service, database)
            yield migrations
            if migrations.wrong is None:
                yield _permissions(service, database)
    except (DatabaseError, Misconfigured) as error:
        wrong = f"{place} cannot be used: {first_line(error)}"
        mend = "start the server, or correct DATABASE_URL and its password"
        yield Finding(check="database", about=service.name, found=place, wrong=wrong, mend=mend)


def _version(service: Service, connection: Connection) -> Finding:
    if connection.dialect.name == "sqlite":
        return old_or_new(service.name, "SQLite", sqlite3.sqlite_version, SQLITE)
    version = str(connection.execute(text("SHOW server_version")).scalar_one()).partition(" ")[0]
    return old_or_new(service.name, "PostgreSQL", version, POSTGRESQL)


def _clock(service: Service, connection: Connection, now: Now) -> Finding:
    apart = service.clock.now(connection) - now()
    found = f"the database's is {apart.total_seconds():+.1f} s from this machine's"
    if abs(apart) <= APART:
        return Finding(check="clock", about=service.name, found=found)
    mend = "have NTP set both machines' clocks: `timedatectl set-ntp true`"
    return Finding(check="clock", about=service.name, found=found, wrong=f"clocks differ: {found}", mend=mend)


def _migrations(service: Service, database: Database) -> Finding:
    with database.reading() as connection:
        script = ScriptDirectory.from_config(config(service.package, connection))
        there = set(MigrationContext.configure(connection).get_current_heads())
    wanted, known = set(script.get_heads()), {each.revision for each in script.walk_revisions()}
    found = f"tables of revision {', '.join(sorted(there)) or 'none'}"
    if there == wanted:
        return Finding(check="migrations", about=service.name, found=found)
    if there <= known:
        wrong, mend = (
            f"{found}, and this program needs {', '.join(sorted(wanted))}",
            f"python -m {service.package} migrate",
        )
    else:
        wrong, mend = f"{found}, which this program does not know", "install the newer program that made them"
    return Finding(check="migrations", about=service.name, found=found, wrong=wrong, mend=mend)


def _permissions(service: Service, database: Database) -> Finding:
    closed = [name for name, table in service.metadata.tables.items() if not _readable(database, table)]
    if not closed:
        return Finding(check="permissions", about=service.name, found="every table can be read")
    wrong = f"cannot read {', '.join(sorted(closed))}"
    mend = f"name the role in DATABASE_ROLES, and have the tables' owner run: python -m {service.package} migrate"
    return Finding(check="permissions", about=service.name, found="", wrong=wrong, mend=mend)


def _readable(database: Database, table: Table) -> bool:
    try:
        with database.reading() as connection:
            connection.execute(select(literal(1)).select_from(table).limit(1))
    except DatabaseError:
        return False
    return True


def examine_broker(url: str) -> Iterator[Finding]:
    """Is it there, new enough, does it know this user, and has it every service's exchange and queues?"""
    place = address(url)
    if url.startswith("embedded:"):
        yield Finding(check="broker", about="all", found="one inside a single process, for the demo")
        return
    try:
        broker = RabbitMQ(url)
        version = broker.version()
    except AccessRefused as error:
        mend = "correct user and password in BROKER_URL, or have `fulfillment definitions` make the users"
        yield Finding(check="broker", about="all", found=place, wrong=f"{place}: {error}", mend=mend)
        return
    except (ConnectionLost, ValueError) as error:
        mend = "start RabbitMQ, or correct BROKER_URL"
        yield Finding(check="broker", about="all", found=place, wrong=f"{place} cannot be used: {error}", mend=mend)
        return
    yield Finding(check="broker", about="all", found=f"{place} answers")
    yield old_or_new("broker", "RabbitMQ", version, RABBITMQ)
    for name in services():
        yield _topology(broker, name)


def _topology(broker: RabbitMQ, service: str) -> Finding:
    try:
        broker.check(service)
    except AccessRefused as error:
        mend = "use that service's own user, or one that may see all"
        return Finding(check="permissions", about=service, found="", wrong=f"{error}", mend=mend)
    except ConnectionLost as error:
        return Finding(check="topology", about=service, found="", wrong=f"{error}", mend="fulfillment provision")
    return Finding(check="topology", about=service, found="its exchange and its queues are there")
