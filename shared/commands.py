"""The verbs that every service has: web, worker, migrate, dead-letters list | show | replay | discard."""

import logging
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from shared import logs
from shared.bootstrap import collecting_seldom, open_database, run_worker
from shared.config import Misconfigured
from shared.database import Database, Timeouts, TransientError, UnsuitableServer, not_migrated
from shared.ids import uuid7
from shared.messaging.notifier import Notifier
from shared.service import Service
from shared.terminal import harmless, say, write_what_can_be_written

log = logging.getLogger("fulfillment.process")


def main(service: Service, *more: click.Command) -> None:
    """Run the command line of `python -m ‹service›_service`; `more` are verbs of the service's own."""
    write_what_can_be_written()
    with complaining(service.name):
        commands(service, *more)(prog_name=f"python -m {service.package}")


@contextmanager
def complaining(name: str) -> Iterator[None]:
    """Configuration or databases that cannot be used end the process with one line that says why, and exit code 1."""
    try:
        yield
    except Misconfigured as error:
        sys.exit(f"{error}")
    except UnsuitableServer as error:
        sys.exit(f"{name}: DATABASE_URL: {error}")
    except TransientError as error:
        missing = "has not been migrated" if not_migrated(error) else "cannot be used"
        sys.exit(f"{name}: the database {missing}: {logs.first_line(error)}")


def commands(service: Service, *more: click.Command) -> click.Group:
    """The verbs that every service has, and `more`."""

    @click.group(help=f"The {service.name} service.")
    def group() -> None:
        pass

    @group.command(help="Serve the HTTP API until told to stop.")
    def web() -> None:
        settings = service.settings(required=["API_KEYS"])
        logs.configure(settings, role="web")
        from shared.http.serve import at_the_end, serve

        with open_database(settings, Timeouts.for_requests()) as database:
            database.check()

        def build() -> Any:
            database = open_database(settings, Timeouts.for_requests())
            notifier = Notifier(database)
            app = service.web(settings, database, notifier)
            at_the_end(app, notifier.close, database.dispose)
            return app

        with collecting_seldom():
            serve(build, settings)

    @group.command(help="Work messages until told to stop; the batch in hand is finished.")
    @click.option("--heartbeat", type=click.Path(path_type=Path), help="A file to touch each second while all is well.")
    def worker(heartbeat: Path | None) -> None:
        settings = service.settings(required=["BROKER_URL"])
        logs.configure(settings, role="worker")
        if settings.broker_url.startswith("embedded://"):
            raise Misconfigured(f"{service.name}: BROKER_URL must be amqp:// here: an embedded broker is one process")
        from shared.messaging.brokers.rabbitmq import RabbitMQ

        try:
            broker = RabbitMQ(
                settings.broker_url,
                window=settings.publish_window,
                bundle=settings.bundle_limit,
                longest_batch=settings.watchdog.total_seconds(),
                users=settings.broker_users,
                largest_body=settings.body_limit,
            )
        except ValueError as error:
            raise Misconfigured(f"{service.name}: BROKER_URL: {error}") from error
        database = open_database(settings, Timeouts.for_worker(settings.watchdog.total_seconds()))
        database.check()
        sys.exit(run_worker(service, settings, database, broker, heartbeat, broker.depths(service.name)))

    @group.command(help="Bring the tables up to date; leave a small demo catalog and stock behind unless SEED=none.")
    def migrate() -> None:
        from shared.migrate import migrate as run

        settings = service.settings()
        logs.configure(settings)
        with open_database(settings) as database:
            run(service, database, seed=settings.seed == "demo", roles=settings.database_roles)
        click.echo(f"{service.name}: tables are up to date")

    for command in (dead_letters(service), *more):
        group.add_command(command)
    return group


def dead_letters(service: Service) -> click.Group:
    """`dead-letters list | show | replay | discard` of one service."""

    @click.group("dead-letters", help="What could not be worked, and why.")
    def group() -> None:
        pass

    _add_looking(group, service)
    _add_acting(group, service)
    return group


def _add_looking(group: click.Group, service: Service) -> None:
    letters = service.tables.dead_letters

    @group.command("list", help="One line per letter, the oldest first.")
    @click.option("--all", "everything", is_flag=True, help="Also those that were replayed.")
    @click.option("--limit", default=200, show_default=True)
    def list_letters(everything: bool, limit: int) -> None:
        with open_database(service.settings()) as opened, opened.reading() as connection:
            found = letters.find(connection, state=None if everything else "parked", most=limit)
            beyond = letters.ceilings.beyond(connection, limit)
        for line in [*map(_line, found), *map(_not_kept, beyond)]:
            say(line)

    @group.command(help="One letter, whole.")
    @click.argument("message_id")
    def show(message_id: str) -> None:
        with open_database(service.settings()) as opened, opened.reading() as connection:
            row = letters.get(connection, message_id)
        if row is None:
            raise click.ClickException(harmless(f"no dead letter {message_id}"))
        say(*(f"{name:15} {_shown(value)}" for name, value in row.items()))


def _add_acting(group: click.Group, service: Service) -> None:
    @group.command(help="Have letters worked again by the service's workers, each under a new message id.")
    @click.argument("message_ids", nargs=-1)
    @click.option("--all", "everything", is_flag=True, help="All that are parked.")
    def replay(message_ids: tuple[str, ...], everything: bool) -> None:
        if bool(message_ids) == everything:
            raise click.UsageError("name the message ids, or say --all")
        with open_database(service.settings()) as opened:
            asked = _replay(service, opened, None if everything else message_ids)
        _tell(asked, "will be worked again", message_ids)

    @group.command(help="Give letters up: they are kept, and the books tell of them no more.")
    @click.argument("message_ids", nargs=-1, required=True)
    def discard(message_ids: tuple[str, ...]) -> None:
        with open_database(service.settings()) as opened, opened.transaction() as connection:
            gone = service.tables.dead_letters.discard(connection, message_ids)
        _tell(gone, "is given up", message_ids)


def _tell(done: Sequence[str], what: str, wanted: Collection[str]) -> None:
    """Say what was done to which letters; raises ClickException when some that were wanted are not among them."""
    for message_id in done:
        say(f"{message_id} {what}")
    if missing := set(wanted) - set(done):
        raise click.ClickException(harmless(f"not parked here: {', '.join(sorted(missing))}"))


def _line(row: Mapping[Any, Any]) -> str:
    at = row["received_at"].isoformat(timespec="seconds")
    return f"{row['message_id']}  {at}  {row['state']:9}  {row['type']:28}  {row['reason']}"


def _not_kept(row: Mapping[Any, Any]) -> str:
    hour = row["hour"].isoformat(timespec="minutes")
    return f"{row['not_kept']} more in the hour from {hour}, of {row['producer']!r}, {row['kind']}: counted, not kept"


def _shown(value: Any) -> Any:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _replay(service: Service, database: Database, message_ids: Collection[str] | None) -> Sequence[str]:
    """Have these worked again, or all that are parked, and wake the workers; returns the ids of those that will be."""
    with database.transaction() as connection:
        now = service.clock.now(connection)
        asked = service.tables.dead_letters.replay(connection, message_ids, now=now, new_id=uuid7)
    notifier = Notifier(database)
    notifier.notify()
    notifier.close()
    return asked
