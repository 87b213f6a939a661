"""What a database may answer instead of doing what it is asked, told apart by what can be done about it.

All that drivers and SQLAlchemy raise is translated here, by the database's own codes, whichever executor ran the
statement. No other package needs to know their exceptions.
"""

import sqlite3
from collections.abc import Mapping

import psycopg
from psycopg.errors import Diagnostic


class DatabaseError(Exception):
    """A statement that the database did not carry out. `code` is PostgreSQL's SQLSTATE, or the name of SQLite's code;
    empty when there is none. The text never tells a whole row."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class UnsuitableServer(DatabaseError):
    """What answers does not keep a session: timeouts, plans and statements would be others than are relied on."""

    WHY = "it does not keep a session's settings and statements: connect to PostgreSQL itself, not to PgBouncer"


class TransientError(DatabaseError):
    """Nothing was done, and no value is to blame: the database is away, full, read-only or contended. Try it again."""


class NoAnswer(TransientError):
    """The server is reachable and says nothing, as a frozen one does. The connection is closed."""


class SilentServer(psycopg.OperationalError):
    """What our own waiting raises, where psycopg and libpq would wait for ever."""


class NoTimeLeft(psycopg.OperationalError):
    """The request had waited before: its time ended sooner than a server that works must have answered."""


class RowsChanged(TransientError):
    """Rows that were read are not as they were: somebody else wrote them, so what was decided must be decided again."""


class StalePlan(TransientError):
    """A prepared statement is no longer what it was, as after a migration. The next transaction prepares it anew."""


class LockTimeout(TransientError):
    """Another transaction held a lock for too long. `waited_for` is what PostgreSQL says of the row, if it was one."""

    def __init__(self, text: str, code: str = "", waited_for: str = "") -> None:
        super().__init__(text, code)
        self.waited_for = waited_for

    def is_for_key_in(self, table: str) -> bool:
        """Whether the lock is on a key of this table that another transaction is inserting, and not on the table."""
        return f'"{table}"' in self.waited_for


class SchemaMismatch(TransientError):
    """A table, a column or a grant is not what this program was written for. No message is to blame: somebody must
    migrate, or grant, and until then it fails again."""


class ValueRefused(DatabaseError):
    """A value that the database cannot take: too long, of another type, against a constraint."""


class Duplicate(ValueRefused):
    """A key that is there already."""


# By the longest beginning of the code. What is not here is a DatabaseError that nothing more is known about.
BY_SQLSTATE: Mapping[str, type[DatabaseError]] = {
    "08": TransientError,  # the connection
    "0A000": StalePlan,  # "cached plan must not change result type": constant statements ask for nothing else like it
    "22": ValueRefused,
    "23": ValueRefused,
    "23505": Duplicate,
    "25006": TransientError,  # read-only, as a standby is
    "25P03": TransientError,  # the session slept in a transaction
    "25P04": TransientError,  # the transaction took too long
    "26000": StalePlan,  # the prepared statement is gone
    "28": TransientError,  # a password that is being changed
    "3D000": TransientError,  # no such database
    "3F000": SchemaMismatch,
    "40": TransientError,  # serialization failures, deadlocks
    "42": SchemaMismatch,
    "53": TransientError,  # disk full, out of memory, too many connections
    "54": ValueRefused,  # such as a value that is too long for an index
    "55006": TransientError,
    "55P03": LockTimeout,
    "57": TransientError,  # shutting down, starting up, cancelled
    "58": TransientError,  # the server's disk
    "XX": TransientError,  # such as "tuple concurrently updated" while a table is altered
}

BY_SQLITE_CODE: Mapping[int, type[DatabaseError]] = {
    sqlite3.SQLITE_AUTH: SchemaMismatch,
    sqlite3.SQLITE_BUSY: LockTimeout,
    sqlite3.SQLITE_CANTOPEN: TransientError,
    sqlite3.SQLITE_CONSTRAINT: ValueRefused,
    sqlite3.SQLITE_CORRUPT: TransientError,
    sqlite3.SQLITE_FULL: TransientError,
    sqlite3.SQLITE_INTERRUPT: TransientError,
    sqlite3.SQLITE_IOERR: TransientError,
    sqlite3.SQLITE_LOCKED: LockTimeout,
    sqlite3.SQLITE_MISMATCH: ValueRefused,
    sqlite3.SQLITE_NOMEM: TransientError,
    sqlite3.SQLITE_NOTADB: TransientError,
    sqlite3.SQLITE_PERM: TransientError,
    sqlite3.SQLITE_PROTOCOL: LockTimeout,
    sqlite3.SQLITE_RANGE: SchemaMismatch,
    sqlite3.SQLITE_READONLY: TransientError,
    sqlite3.SQLITE_SCHEMA: StalePlan,
    sqlite3.SQLITE_TOOBIG: ValueRefused,
}
_NO_SUCH = ("no such table", "no such column", "table ")  # "table orders has no column named …"


def translated(error: BaseException | None, *, lost: bool = False) -> DatabaseError | None:
    """What to raise instead of what a driver or SQLAlchemy raised; None for what is not about the database.

    `lost` says that the connection is gone: then it is transient, whatever the driver calls it.
    """
    match getattr(error, "orig", None) or error:
        case DatabaseError() as ours:
            return ours
        case psycopg.Error() as theirs:
            return _from_postgresql(theirs, lost)
        case sqlite3.Error() as theirs:
            return _from_sqlite(theirs)
        case UnicodeEncodeError() | OverflowError() | TypeError() as theirs:  # a parameter never reached the database
            return ValueRefused(str(theirs))
    return None


def _from_postgresql(error: psycopg.Error, lost: bool) -> DatabaseError:
    diagnostic, code = error.diag, error.sqlstate or ""
    text = diagnostic.message_primary or str(error).partition("\n")[0]
    if "unsupported startup parameter" in text:
        return UnsuitableServer(UnsuitableServer.WHY)
    if isinstance(error, SilentServer | psycopg.errors.ConnectionTimeout):
        return NoAnswer(text)
    if lost or (not code and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)):
        return TransientError(text, code)
    if not code:
        return ValueRefused(text)  # psycopg itself cannot send it
    if code == "23502" and diagnostic.column_name == "version":
        return _rows_changed(code)
    kind = next((BY_SQLSTATE[code[:end]] for end in (5, 2) if code[:end] in BY_SQLSTATE), DatabaseError)
    return LockTimeout(text, code, _where(diagnostic)) if kind is LockTimeout else kind(text, code)


def _from_sqlite(error: sqlite3.Error) -> DatabaseError:
    text, number = str(error), getattr(error, "sqlite_errorcode", None)
    code = getattr(error, "sqlite_errorname", "")
    if number is None:
        return ValueRefused(text)  # sqlite3 itself cannot send it
    if number in (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY):
        return Duplicate(text, code)
    if number == sqlite3.SQLITE_CONSTRAINT_NOTNULL and text.endswith(".version"):
        return _rows_changed(code)
    if number == sqlite3.SQLITE_ERROR and text.startswith(_NO_SUCH):
        return SchemaMismatch(text, code)
    return BY_SQLITE_CODE.get(number & 0xFF, DatabaseError)(text, code)


def _rows_changed(code: str) -> RowsChanged:
    """Who writes a version that does not follow the one that is there writes NULL, which its column refuses."""
    return RowsChanged("somebody else wrote rows that were read", code)


def _where(diagnostic: Diagnostic) -> str:
    return diagnostic.context or ""


def not_migrated(error: BaseException) -> bool:
    """Whether the database was reached, and has no such table yet."""
    return isinstance(error, SchemaMismatch) and (error.code == "42P01" or str(error).startswith("no such table"))
