"""What a database may say, told apart by what can be done about it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError

LOCK_NOT_AVAILABLE, UNDEFINED_TABLE = "55P03", "42P01"  # PostgreSQL's codes


class RowsChanged(Exception):
    """Rows that were read are not as they were: somebody else wrote them, so what was decided must be decided again."""


TRANSIENT = (OperationalError, InterfaceError, RowsChanged)  # the database is away, full or contended: nobody's fault


def is_lock_timeout(error: BaseException) -> bool:
    """Whether PostgreSQL gave up waiting because another transaction held a lock for too long."""
    return isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE


def rows_changed(error: Exception) -> RowsChanged | None:
    """Who writes a version that does not follow the one that is there writes NULL, which its column refuses."""
    if not isinstance(error, IntegrityError):
        return None
    column = getattr(getattr(error.orig, "diag", None), "column_name", None)
    if column == "version" or re.fullmatch(r"NOT NULL constraint failed: \w+\.version", str(error.orig)):
        return RowsChanged("somebody else wrote rows that were read")
    return None


@contextmanager
def translating_changed_rows() -> Iterator[None]:
    """Raise RowsChanged for what `rows_changed` says is one."""
    try:
        yield
    except IntegrityError as error:
        if changed := rows_changed(error):
            raise changed from error
        raise


def not_migrated(error: DBAPIError) -> bool:
    """Whether the database was reached, and has no such table yet."""
    return getattr(error.orig, "sqlstate", "") == UNDEFINED_TABLE or str(error.orig).startswith("no such table")
