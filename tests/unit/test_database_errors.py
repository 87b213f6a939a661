"""What a database says is told apart by its own codes, not by the classes of a driver."""

import sqlite3

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from shared.database import (
    DatabaseError,
    Duplicate,
    LockTimeout,
    SchemaMismatch,
    StalePlan,
    TransientError,
    ValueRefused,
    not_migrated,
)
from shared.database.errors import translated

SAID = [
    ("08006", TransientError),  # connection failure
    ("0A000", StalePlan),  # cached plan must not change result type
    ("22001", ValueRefused),  # string data, right truncation
    ("22P02", ValueRefused),  # invalid text representation
    ("23503", ValueRefused),  # foreign key
    ("23505", Duplicate),
    ("23514", ValueRefused),  # check
    ("25006", TransientError),  # read-only transaction
    ("25P03", TransientError),  # idle in transaction
    ("26000", StalePlan),  # no such prepared statement
    ("28P01", TransientError),  # invalid password
    ("3D000", TransientError),  # no such database
    ("40001", TransientError),  # serialization failure
    ("40P01", TransientError),  # deadlock
    ("42501", SchemaMismatch),  # no such grant
    ("42703", SchemaMismatch),  # no such column
    ("42P01", SchemaMismatch),  # no such table
    ("53100", TransientError),  # disk full
    ("53300", TransientError),  # too many connections
    ("54000", ValueRefused),  # program limit exceeded
    ("55P03", LockTimeout),
    ("57014", TransientError),  # statement timeout
    ("57P01", TransientError),  # admin shutdown
    ("57P03", TransientError),  # cannot connect now
    ("58030", TransientError),  # the server cannot read its disk
    ("XX000", TransientError),  # tuple concurrently updated
    ("P0001", DatabaseError),  # a trigger's own
]


@pytest.mark.parametrize(("code", "kind"), SAID)
def test_postgresql_is_told_by_sqlstate(code: str, kind: type[DatabaseError]) -> None:
    """Whatever class the driver gives it, and whether or not SQLAlchemy has wrapped it."""
    error = psycopg.errors.lookup(code)("said so")
    wrapped = DBAPIError.instance("SELECT secret", {"token": "secret"}, error, psycopg.Error)
    for each in (error, wrapped):
        ours = translated(each)
        assert type(ours) is kind
        assert (ours.code, str(ours)) == (code, "said so")


def test_a_lost_connection_is_transient_whatever_is_said() -> None:
    """libpq has no code for what breaks off without a word."""
    for error in (psycopg.OperationalError("server closed"), psycopg.errors.lookup("P0001")("x"), psycopg.Error("x")):
        assert type(translated(error, lost=True)) is TransientError
    assert type(translated(psycopg.OperationalError("connection refused"))) is TransientError


def sqlite_error(sql: str, connection: sqlite3.Connection) -> DatabaseError:
    with pytest.raises(sqlite3.Error) as caught:
        connection.execute(sql)
    ours = translated(caught.value)
    assert ours
    return ours


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT * FROM missing", SchemaMismatch),
        ("SELECT missing FROM things", SchemaMismatch),
        ("INSERT INTO things (missing) VALUES (1)", SchemaMismatch),
        ("INSERT INTO things VALUES (1, 1, 1)", Duplicate),
        ("INSERT INTO things VALUES (2, NULL, 1)", ValueRefused),
        ("INSERT INTO things VALUES ('x', 1, 1)", ValueRefused),
        ("INSERT INTO things SELECT 2, value, 1 FROM json_each('no json')", DatabaseError),
    ],
)
def test_sqlite_is_told_by_its_codes(sql: str, kind: type[DatabaseError]) -> None:
    """Its equivalents of what PostgreSQL says."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, number INTEGER NOT NULL, version INTEGER)")
    connection.execute("INSERT INTO things VALUES (1, 1, 1)")
    assert type(sqlite_error(sql, connection)) is kind
    connection.close()


@pytest.mark.parametrize(
    ("pragma", "kind"), [("query_only = 1", TransientError), ("max_page_count = 1", TransientError)]
)
def test_a_sqlite_that_cannot_write_is_transient(pragma: str, kind: type[DatabaseError]) -> None:
    """A read-only database, or a full disk."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE things (text)")
    connection.execute(f"PRAGMA {pragma}")
    assert type(sqlite_error("INSERT INTO things SELECT zeroblob(100000)", connection)) is kind
    connection.close()


def test_a_database_that_was_not_migrated_has_no_table() -> None:
    """A missing column or a missing grant is something else."""
    no_table = translated(psycopg.errors.lookup("42P01")("x"))
    no_grant = translated(psycopg.errors.lookup("42501")("x"))
    assert no_table
    assert no_grant
    assert not_migrated(no_table)
    assert not not_migrated(no_grant)


def test_other_errors_are_left_alone() -> None:
    """A defect of the program stays what it is."""
    assert translated(RuntimeError("a defect")) is None
