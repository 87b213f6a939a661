"""What a PostgreSQL may suffer beyond being killed or frozen: connections ended, locks, read-only, a full disk; and
messages that its outboxes say again."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import select

from order_service.cli.stack import PostgreSQL
from order_service.cli.system.breakable import AGAIN, ANEW, ENDED, WELL
from order_service.cli.system.breakable_broker import notify, publish_again, refusing
from order_service.web.console.breaking import Part, Refusal
from shared.database import Database
from shared.ids import uuid7
from shared.messaging.envelope import Envelope
from shared.service import services

LOCKED, READ_ONLY, ALTERED, FULL = "every table locked", "read-only", "every table altered", "full"
END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
TO_LOCK = "SET lock_timeout = '5s'"
LATELY = timedelta(seconds=10)
COLUMNS, WIDER = ("status", "type", "outcome", "producer"), 7  # characters
MESSAGES = 300  # that are said again under new ids, of each service
SLACK = 128  # KiB that a full disk still has


class Databases:
    """A part `database of SERVICE` for each."""

    def __init__(self, server: PostgreSQL, names: Mapping[str, str]) -> None:
        """`names` of the databases, by service."""
        self._server, self._names = server, names
        self._states = dict.fromkeys(names, WELL)
        self._locks: dict[str, psycopg.Connection[tuple[object, ...]]] = {}

    def parts(self) -> list[Part]:
        choices = (WELL, ENDED, LOCKED, READ_ONLY, ALTERED)
        return [
            Part(name=f"database of {service}", state=state, choices=choices, kind="database")
            for service, state in self._states.items()
        ]

    def set(self, part: str, choice: str) -> None:
        service = part.removeprefix("database of ")
        try:
            self._heal(service)
            acts = {ENDED: self._end, LOCKED: self._lock, READ_ONLY: self._close, ALTERED: self._widen}
            if choice != WELL:
                acts[choice](service)
        except psycopg.Error as error:
            raise Refusal(f"PostgreSQL does not do it now: {error}") from error
        self._states[service] = WELL if choice == ENDED else choice

    def failures(self) -> list[str]:
        return []

    def _heal(self, service: str) -> None:
        if held := self._locks.pop(service, None):
            with suppress(psycopg.Error):  # it has ended by itself, and its locks with it
                held.close()
        if self._states[service] == READ_ONLY:
            self._alter(service, "RESET default_transaction_read_only")
        if self._states[service] == ALTERED:
            self._change_tables(service, "DROP COLUMN IF EXISTS proved", -WIDER)
        self._states[service] = WELL

    def _end(self, service: str) -> None:
        with self._server.connect() as connection:
            connection.execute(END, [self._names[service]])

    def _lock(self, service: str) -> None:
        connection = psycopg.connect(self._server.plain_url(self._names[service]), connect_timeout=10)
        try:
            connection.execute(TO_LOCK)
            tables = [sql.Identifier(table) for table in sorted(services()[service].metadata.tables)]
            connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.SQL(", ").join(tables)))
        except psycopg.Error:
            connection.close()
            raise
        self._locks[service] = connection

    def _close(self, service: str) -> None:
        self._alter(service, "SET default_transaction_read_only = on")

    def _widen(self, service: str) -> None:
        self._states[service] = ALTERED  # also when it is done by half
        self._change_tables(service, "ADD COLUMN IF NOT EXISTS proved text", WIDER)

    def _change_tables(self, service: str, change: str, by: int) -> None:
        """As migrations do while processes go on: change every table, and the lengths of some columns to `by` more."""
        lengths = {
            (table.name, column.name): length + max(0, by)
            for table in services()[service].metadata.sorted_tables
            for column in table.columns
            if column.name in COLUMNS and (length := getattr(column.type, "length", None))
        }
        with psycopg.connect(self._server.plain_url(self._names[service]), autocommit=True) as connection:
            connection.execute(TO_LOCK)
            for name in sorted(services()[service].metadata.tables):
                connection.execute(sql.SQL("ALTER TABLE {} ").format(sql.Identifier(name)) + sql.SQL(change))
            for (table, column), length in lengths.items():
                widened = sql.SQL("ALTER TABLE {} ALTER COLUMN {} TYPE varchar({})")
                names = sql.Identifier(table), sql.Identifier(column), sql.Literal(length)
                connection.execute(widened.format(*names))

    def _alter(self, service: str, change: str) -> None:
        """Change it for all sessions: those that are open are ended."""
        with self._server.connect() as connection:
            name = sql.Identifier(self._names[service])
            connection.execute(sql.SQL("ALTER DATABASE {} ").format(name) + sql.SQL(change))
            connection.execute(END, [self._names[service]])


class SmallDisk:
    """A file system in memory, of a size of its own, which can be made full without filling anything."""

    AS_ROOT = () if os.geteuid() == 0 else (shutil.which("sudo") or "false", "-n")

    def __init__(self, folder: Path, mib: int) -> None:
        self.folder, self._mib = folder, mib
        self._full = False

    def mount(self) -> bool:
        """Whether that is possible here."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self._run("mount", "-t", "tmpfs", "-o", f"size={self._mib}m,mode=0755", "tmpfs", str(self.folder))

    def unmount(self) -> None:
        self._run("umount", "--lazy", str(self.folder))

    def parts(self) -> list[Part]:
        state = FULL if self._full else WELL
        return [Part(name="disk of postgresql", state=state, choices=(WELL, FULL), kind="disk of the databases")]

    def set(self, part: str, choice: str) -> None:
        size = f"{self._mib}m"
        if choice == FULL:
            found = os.statvfs(self.folder)
            size = f"{(found.f_blocks - found.f_bfree) * found.f_frsize // 1024 + SLACK}k"
        if not self._run("mount", "-o", f"remount,size={size}", str(self.folder)):
            raise Refusal("The disk did not change its size.")
        self._full = choice == FULL

    def failures(self) -> list[str]:
        return []

    def _run(self, *words: str) -> bool:
        return subprocess.run([*self.AS_ROOT, *words], capture_output=True, check=False).returncode == 0  # noqa: S603


class Repeating:
    """The one part `messages`: what was said lately is said again, by all services."""

    def __init__(self, databases: Mapping[str, Database]) -> None:
        self._databases = databases

    def parts(self) -> list[Part]:
        return [Part(name="messages", state=WELL, choices=(WELL, AGAIN, ANEW), kind="messages")]

    def set(self, part: str, choice: str) -> None:
        with refusing():
            if choice == AGAIN:
                publish_again(self._databases, LATELY)
            elif choice == ANEW:
                for name, database in self._databases.items():
                    say_anew(name, database)

    def failures(self) -> list[str]:
        return []


def say_anew(service: str, database: Database) -> None:
    """Copy some messages of this service under new ids, as somebody does who replays a log. Raises DatabaseError."""
    outbox, clock = services()[service].tables.outbox, services()[service].clock
    columns = [each for each in outbox.table.c if each.name not in ("published_at", "due_at")]
    lately = select(*columns).order_by(outbox.table.c.id.desc()).limit(MESSAGES)
    with database.transaction() as connection:
        now = clock.now(connection)
        rows = [row._asdict() for row in connection.execute(lately)]
        copies = [Envelope(**{**row, "id": uuid7(now), "body": row["body"].encode()}) for row in rows]
        outbox.add(connection, copies, now)
    notify(database)
