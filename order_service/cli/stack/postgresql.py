"""A PostgreSQL of one's own, from the system's packages, with its files in a folder: loopback only, with a password."""

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from glob import glob
from pathlib import Path

import psycopg
from psycopg import sql

from order_service.cli.stack.ports import free_port
from order_service.cli.stack.processes import Program
from order_service.cli.stack.supervisor import BOOTING, Stack
from shared.config import environment

INSTALLED = "/usr/lib/postgresql/*/bin"  # Debian's and Ubuntu's, by version
USER, DATABASE = "postgres", "postgres"
UNSAFE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}  # for data that nobody will miss


class Missing(Exception):
    """The server is not installed here, or cannot be used; the text says what to do."""


def find(given: str | None = None) -> Path:
    """The folder of its programs: the one that is given, else the newest of the system's packages; raises Missing."""
    packaged = sorted(glob(INSTALLED), key=lambda path: int(path.split("/")[4]))
    found = given or (packaged[-1] if packaged else str(Path(shutil.which("initdb") or "").parent))
    if not (Path(found) / "initdb").exists():
        raise Missing("there is no PostgreSQL server here: `deploy/prepare servers` installs one")
    return Path(found)


class PostgreSQL:
    """The server as a program to run, and what can be asked of it while it runs."""

    def __init__(
        self,
        folder: Path,
        *,
        programs: Path | None = None,
        settings: Mapping[str, str] | None = None,
        trusts: bool = False,
    ) -> None:
        """Its files are in `folder`, which is made if it does not exist; they are kept. Raises Missing.

        One that `trusts` lets in every user of this machine, in half the time: for data that is nobody's.
        """
        self.folder, self.log, self.port = folder, folder / "postgresql.log", free_port()
        self._programs, self._settings = programs or find(), {"max_connections": "300"} | dict(settings or {})
        self._user = USER if os.geteuid() == 0 else ""  # it refuses to run as root
        if not (folder / "data").exists():
            self._create("trust" if trusts else "scram-sha-256")
        self._password = (folder / "password").read_text()

    @property
    def program(self) -> Program:
        settings = [f"-c{name}={value}" for name, value in self._settings.items()]
        where = ["-D", str(self.folder / "data"), f"-p{self.port}", "-h127.0.0.1", "-cunix_socket_directories="]
        return Program(
            name="postgresql",
            command=[str(self._programs / "postgres"), *where, *settings],
            environment=environment(),
            user=self._user,
            folder="/",
            log=self.log,
            ends_by=signal.SIGINT,  # a fast shutdown: does not wait for clients
        )

    def start(self, stack: Stack) -> None:
        """Run it in a stack; returns when it answers. Raises NotReady."""
        stack.start(self.program)
        stack.wait_until("answered by PostgreSQL", self.is_ready, BOOTING)

    def url(self, database: str = DATABASE) -> str:
        """The address of a database, as SQLAlchemy reads it."""
        return self.plain_url(database).replace("postgresql:", "postgresql+psycopg:")

    def plain_url(self, database: str = DATABASE) -> str:
        """The address of a database, as libpq reads it."""
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self.port}/{database}"

    def is_ready(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def connect(self) -> "psycopg.Connection[tuple[str, ...]]":
        return psycopg.connect(self.plain_url(), autocommit=True, connect_timeout=10)

    def create(self, *names: str) -> None:
        """Make empty databases."""
        with self.connect() as connection:
            for name in names:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def drop(self, prefix: str) -> None:
        """Drop the databases whose names begin so, whoever uses them."""
        with self.connect() as connection:
            found = connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [prefix])
            for (name,) in found.fetchall():
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def version(self) -> str:
        said = subprocess.run([self._programs / "postgres", "-V"], capture_output=True, text=True, check=True)  # noqa: S603
        return said.stdout.split()[2]

    def _create(self, authentication: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        password = self.folder / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_hex(16))
        unfinished, owner = self.folder / "unfinished", {}
        shutil.rmtree(unfinished, ignore_errors=True)  # of somebody who did not come to the end
        if self._user:
            shutil.chown(self.folder, USER, USER)
            shutil.chown(password, USER, USER)
            owner = {"user": USER, "group": USER, "extra_groups": []}
        words = [self._programs / "initdb", "-D", unfinished, "-U", USER, "-A", authentication]
        words += [f"--pwfile={password}", "--no-sync", "-E", "UTF8", "--locale=C"]
        done = subprocess.run(words, capture_output=True, text=True, cwd="/", check=False, **owner)  # type: ignore[call-overload]  # noqa: S603
        if done.returncode:
            who = f"the user {USER}" if self._user else "this user"
            said = done.stderr.strip().splitlines() or ["initdb failed"]
            raise Missing(f"PostgreSQL cannot keep its data in {self.folder} as {who}: {said[-1]}")
        unfinished.rename(self.folder / "data")
