"""Tells a service's workers at once that somebody committed messages which no worker holds."""

import logging
import threading
from collections.abc import Callable

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from shared.database.transactions import Database
from shared.logs import first_line

log = logging.getLogger("fulfillment.wakeup")

CHANNEL = "outbox"
SQLITE_INTERVAL = 0.05  # seconds between looks at SQLite's change counter, the only call it has for other processes


class WakeUp:
    """Rung after a commit. Listeners of this object are called directly; other processes hear it through the database.

    Between processes PostgreSQL's NOTIFY is sent from one connection, coalescing what was rung meanwhile, because a
    NOTIFY inside the transactions would make their commits wait for each other.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: list[Callable[[], None]] = []
        self._rung = threading.Event()
        self._closed = threading.Event()
        self._bell: threading.Thread | None = None
        self._ears: list[threading.Thread] = []
        self._starting = threading.Lock()

    def ring(self) -> None:
        """Wake every listener, here and in other processes. Returns at once; call it after the commit."""
        for listener in self._listeners:
            listener()
        if self._database.is_postgresql:
            with self._starting:
                if self._bell is None:
                    self._bell = threading.Thread(target=self._notify, name="wakeup-bell", daemon=True)
                    self._bell.start()
            self._rung.set()

    def listen(self, listener: Callable[[], None], *, other_processes: bool = True) -> None:
        """Call `listener`, from any thread, after each ring, and now and then for nothing. Until `close`."""
        self._listeners.append(listener)
        if other_processes:
            ear = self._hear_postgresql if self._database.is_postgresql else self._watch_sqlite
            thread = threading.Thread(target=self._persist, args=(ear, listener), name="wakeup-ear", daemon=True)
            self._ears.append(thread)
            thread.start()

    def close(self) -> None:
        """End the threads; what was rung is still sent. One that takes longer than two seconds is not waited for."""
        self._closed.set()
        self._rung.set()
        for thread in (*self._ears, self._bell):
            if thread:
                thread.join(timeout=2.0)

    def _notify(self) -> None:
        while True:
            self._rung.wait()
            try:
                with self._database.reading() as connection:
                    while self._rung.is_set():
                        self._rung.clear()
                        connection.execute(text(f"NOTIFY {CHANNEL}"))
                        if not self._closed.is_set():
                            self._rung.wait()
            except SQLAlchemyError as error:  # also: all connections are in use
                log.warning("the workers could not be woken, their relay looks by itself: %s", _said(error))
                self._closed.wait(1.0)
            if self._closed.is_set():
                return

    def _persist(self, ear: Callable[[Callable[[], None]], None], listener: Callable[[], None]) -> None:
        deaf = False

        def hears() -> None:
            nonlocal deaf
            deaf = False
            listener()

        while not self._closed.is_set():
            try:
                ear(hears)
            except SQLAlchemyError as error:
                if not deaf:  # said once, however often it is tried
                    log.warning("cannot hear the wake-up calls, trying every second: %s", _said(error))
                deaf = True
                self._closed.wait(1.0)

    def _hear_postgresql(self, listener: Callable[[], None]) -> None:
        import psycopg

        with self._database.reading() as connection:
            connection.execute(text(f"LISTEN {CHANNEL}"))
            raw = connection.connection.driver_connection
            assert isinstance(raw, psycopg.Connection)
            listener()  # something may have been missed before
            try:
                while not self._closed.is_set():
                    for _ in raw.notifies(timeout=1.0, stop_after=1):
                        listener()
            except psycopg.Error as error:
                connection.invalidate()
                raise DBAPIError("LISTEN", None, error) from error
            connection.execute(text(f"UNLISTEN {CHANNEL}"))

    def _watch_sqlite(self, listener: Callable[[], None]) -> None:
        with self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            seen = connection.exec_driver_sql("PRAGMA data_version").scalar()
            listener()  # something may have been missed before
            while not self._closed.wait(SQLITE_INTERVAL):
                if (version := connection.exec_driver_sql("PRAGMA data_version").scalar()) != seen:
                    seen = version
                    listener()


def _said(error: SQLAlchemyError) -> str:
    return first_line(getattr(error, "orig", error))
