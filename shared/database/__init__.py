"""One database per service, SQLite or PostgreSQL. What is handed on here is all that other packages need."""

from shared.database.errors import (
    DatabaseError,
    Duplicate,
    LockTimeout,
    NoAnswer,
    RowsChanged,
    SchemaMismatch,
    StalePlan,
    TransientError,
    UnsuitableServer,
    ValueRefused,
    not_migrated,
)
from shared.database.retries import retried
from shared.database.rowsets import batch_rows
from shared.database.statements import BatchTransaction, NotConstant, Transaction
from shared.database.timeouts import Timeouts, heard, one_request, time_left
from shared.database.transactions import Database
from shared.database.types import BigInt, Chars, Id, Json, UtcDateTime, metadata, timestamp
from shared.database.versioned_rows import VersionedRows

__all__ = [
    "BatchTransaction",
    "BigInt",
    "Chars",
    "Database",
    "DatabaseError",
    "Duplicate",
    "Id",
    "Json",
    "LockTimeout",
    "NoAnswer",
    "NotConstant",
    "RowsChanged",
    "SchemaMismatch",
    "StalePlan",
    "Timeouts",
    "Transaction",
    "TransientError",
    "UnsuitableServer",
    "UtcDateTime",
    "ValueRefused",
    "VersionedRows",
    "batch_rows",
    "heard",
    "metadata",
    "not_migrated",
    "one_request",
    "retried",
    "time_left",
    "timestamp",
]
