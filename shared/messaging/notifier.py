"""Tells a service's workers at once that somebody committed messages which no worker holds."""

import logging
import threading
from collections.abc import Callable

from sqlalchemy import text

from shared.database import Database, DatabaseError, TransientError
from shared.logs import Interruption, first_line

log = logging.getLogger("fulfillment.notifier")

CHANNEL = "outbox"
SQLITE_INTERVAL = 0.05  # seconds between looks at SQLite's change counter, the only call it has for other processes


class Notifier:
    """Notified after a commit. Calls the listeners of this object, and those of other processes through the database.

    Between processes PostgreSQL's NOTIFY is sent from one connection, coalescing the calls that come meanwhile: a
    NOTIFY inside the transactions would make their commits wait for each other.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: list[Callable[[], None]] = []
        self._pending = threading.Event()
        self._closed = threading.Event()
        self._sender: threading.Thread | None = None
        self._receivers: list[threading.Thread] = []
        self._starting = threading.Lock()
        self._sending = Interruption(log, "the workers cannot be notified, and look by themselves")
        self._receiving = Interruption(log, "notifications cannot be received")

    def notify(self) -> None:
        """Wake every listener, here and in other processes. Returns at once; call it after the commit."""
        for listener in self._listeners:
            listener()
        if self._database.is_postgresql:
            with self._starting:
                if self._sender is None:
                    self._sender = threading.Thread(target=self._send, name="notifier-bell", daemon=True)
                    self._sender.start()
            self._pending.set()

    def listen(self, listener: Callable[[], None], *, other_processes: bool = True) -> None:
        """Call `listener`, from any thread, after each notification; spurious calls are possible. Until `close`."""
        self._listeners.append(listener)
        if other_processes:
            receive = self._receive_postgresql if self._database.is_postgresql else self._receive_sqlite
            thread = threading.Thread(
                target=self._keep_receiving, args=(receive, listener), name="notifier-receiver", daemon=True
            )
            self._receivers.append(thread)
            thread.start()

    def close(self) -> None:
        """End the threads, waiting two seconds at most for each; a pending notification is still sent."""
        self._closed.set()
        self._pending.set()
        for thread in (*self._receivers, self._sender):
            if thread:
                thread.join(timeout=2.0)

    def _send(self) -> None:
        while True:
            self._pending.wait()
            try:
                with self._database.reading() as connection:
                    while self._pending.is_set():
                        self._pending.clear()
                        connection.execute(text(f"NOTIFY {CHANNEL}"))
                        self._sending.over()
                        if not self._closed.is_set():
                            self._pending.wait()
            except DatabaseError as error:  # also: all connections are in use
                self._sending.hit(error)
                self._closed.wait(1.0)
            if self._closed.is_set():
                return

    def _keep_receiving(self, receive: Callable[[Callable[[], None]], None], listener: Callable[[], None]) -> None:
        def received() -> None:
            self._receiving.over()
            listener()

        while not self._closed.is_set():
            try:
                receive(received)
            except DatabaseError as error:
                self._receiving.hit(error)
                self._closed.wait(1.0)

    def _receive_postgresql(self, listener: Callable[[], None]) -> None:
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
                raise TransientError(first_line(error)) from error
            connection.execute(text(f"UNLISTEN {CHANNEL}"))

    def _receive_sqlite(self, listener: Callable[[], None]) -> None:
        with self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            seen = connection.exec_driver_sql("PRAGMA data_version").scalar()
            listener()  # something may have been missed before
            while not self._closed.wait(SQLITE_INTERVAL):
                if (version := connection.exec_driver_sql("PRAGMA data_version").scalar()) != seen:
                    seen = version
                    listener()
