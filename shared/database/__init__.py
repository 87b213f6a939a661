"""One database per service, SQLite or PostgreSQL. What is handed on here is all that other rooms need."""

from shared.database.errors import TRANSIENT, RowsChanged, is_lock_timeout, not_migrated
from shared.database.rowsets import batch_rows
from shared.database.statements import Transaction
from shared.database.transactions import Database
from shared.database.types import BigInt, Id, Json, UtcDateTime, metadata, timestamp
from shared.database.versioned_rows import VersionedRows

__all__ = [
    "TRANSIENT",
    "BigInt",
    "Database",
    "Id",
    "Json",
    "RowsChanged",
    "Transaction",
    "UtcDateTime",
    "VersionedRows",
    "batch_rows",
    "is_lock_timeout",
    "metadata",
    "not_migrated",
    "timestamp",
]
