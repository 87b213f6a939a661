"""Three executors carry out statements: SQLAlchemy's connection, PostgreSQL's pipeline, SQLite's driver. They agree.

Whatever a service writes works alike over each of them: the same values come back, the same errors are raised, and the
same is left behind.
"""

# ruff: noqa: PT012 - the block is the transaction that fails

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Integer,
    LargeBinary,
    String,
    Table,
    bindparam,
    func,
    insert,
    select,
    text,
    update,
)

from shared.database import (
    BigInt,
    Database,
    DatabaseError,
    Duplicate,
    Id,
    Json,
    LockTimeout,
    RowsChanged,
    SchemaMismatch,
    Timeouts,
    TransientError,
    UtcDateTime,
    ValueRefused,
    VersionedRows,
    batch_rows,
    metadata,
    timestamp,
)

NOON = datetime(2026, 11, 21, 12, 0, 0, 120_000, UTC)
KEY = "01900000-0000-7000-8000-000000000001"

METADATA = metadata()
things = Table(
    "things",
    METADATA,
    Column("order_id", Id, primary_key=True),
    Column("number", BigInt),
    Column("yes", Boolean),
    Column("parts", Json),
    Column("note", String(50)),
    Column("body", LargeBinary),
    Column("weight", Float),
    Column("at", UtcDateTime),
    Column("version", Integer, nullable=False),
    CheckConstraint("number <> 13", name="luck"),
)
ADD = insert(things)
LOOK = select(things).where(things.c.order_id == bindparam("which", type_=Id))
COUNT = select(func.count()).select_from(things)
NULLS = select(func.count()).select_from(things).where(things.c.parts.is_(None))
MOVED = update(things).values(number=bindparam("to")).where(things.c.order_id == bindparam("which", type_=Id))
ROWS = VersionedRows(things)
_new = batch_rows("new", **{column.name: column.type for column in things.c if column.name != "body"})
ADD_MANY = insert(things).from_select([column.name for column in _new.c], select(*_new.c))


def thing(place: int = 1, /, **changes: Any) -> dict[str, Any]:
    row = {"order_id": KEY[:-4] + f"{place:04}", "number": place, "yes": True, "parts": {"up": [1, 2]}, "note": "für"}
    return row | {"body": b"\0\xff", "weight": 0.1, "at": NOON, "version": 1} | changes


@dataclass
class Executor:
    """One way to carry out statements on a database."""

    database: Database
    is_batch: bool

    def begin(self) -> AbstractContextManager[Any]:
        """A transaction."""
        return self.database.batch() if self.is_batch else self.database.transaction()

    def read(self) -> AbstractContextManager[Any]:
        return self.database.reading_batch() if self.is_batch else self.database.reading()

    def savepoint(self, connection: Any) -> AbstractContextManager[Any]:
        saved: AbstractContextManager[Any] = connection.savepoint() if self.is_batch else connection.begin_nested()
        return saved

    def numbers(self) -> list[int]:
        with self.database.reading() as connection:
            return list(connection.execute(select(things.c.number).order_by(things.c.number)).scalars())

    def stored(self, row: dict[str, Any]) -> dict[str, Any]:
        """What is read of a row after it was written."""
        with self.begin() as connection:
            connection.execute(ADD, row)
            (found,) = connection.execute(LOOK, {"which": row["order_id"]}).mappings()
            return dict(found)


@pytest.fixture(params=["batch", "sqlalchemy"])
def executor(request: pytest.FixtureRequest, database_url: str) -> Iterator[Executor]:
    with Database(database_url, timeouts=Timeouts(lock=0.1, statement=0.5, answer=5.0)) as database:
        METADATA.create_all(database.engine)
        yield Executor(database, request.param == "batch")


VALUES: list[dict[str, Any]] = [
    {},
    {"number": 2**63 - 1},
    {"number": -(2**63)},
    {"yes": False},
    {"parts": {"a": {"b": [None, True, 1.5, "'\"\\"]}}},
    {"parts": [1, 2]},
    {"parts": "text"},
    {"parts": "7"},
    {"parts": 7},
    {"parts": False},
    {"parts": []},
    {"note": ""},
    {"note": "\\x00 ' \" \\ \n\t £ 🙂"},
    {"note": "null"},
    {"body": b""},
    {"body": bytes(range(256))},
    {"weight": 1e300},
    {"weight": -0.0},
    {"at": NOON.astimezone(timezone(timedelta(hours=5, minutes=45)))},
    {"at": datetime(1970, 1, 1, tzinfo=UTC)},
    dict.fromkeys(("number", "yes", "parts", "note", "body", "weight", "at")),
]


def test_what_is_written_is_read(executor: Executor) -> None:
    """Each type's values come back as they went, with the same Python type; times come back in UTC."""
    for place, changes in enumerate(VALUES, start=20):
        row = thing(place, **changes)
        found = executor.stored(row)
        assert found == row
        assert [type(found[name]) for name in row] == [type(value) for value in row.values()]
        assert found["at"] is None or found["at"].tzinfo is UTC


def test_no_value_is_null(executor: Executor) -> None:
    """None is NULL in a column of JSON too, not the JSON text `null`."""
    executor.stored(thing(parts=None))
    with executor.begin() as connection:
        assert connection.execute(NULLS).scalar_one() == 1


def test_rows_of_a_batch_are_values_as_well(executor: Executor) -> None:
    """What goes through `batch_rows` comes back like what goes as a parameter."""
    rows = [thing(number) | {"at": timestamp(NOON)} for number in (1, 2)]
    with executor.begin() as connection:
        connection.execute(ADD_MANY, {"new": rows})
        (found,) = connection.execute(LOOK, {"which": rows[1]["order_id"]}).mappings()
    assert dict(found) == thing(2, body=None)


def test_answers_may_be_read_in_any_order(executor: Executor) -> None:
    """An answer that is not read at once is not lost, and is what was true when it was asked for."""
    with executor.begin() as connection:
        connection.execute(ADD, thing(1))
        before = connection.execute(COUNT)
        connection.execute(ADD, [thing(2), thing(3)])
        after = connection.execute(COUNT)
        assert after.scalar_one() == 3
        assert before.scalar_one() == 1


REFUSED: list[tuple[dict[str, Any], type[DatabaseError]]] = [
    ({"order_id": thing(9)["order_id"]}, Duplicate),
    ({"version": None}, RowsChanged),
    ({"number": 13}, ValueRefused),
    ({"number": 2**63}, ValueRefused),
    ({"note": "\ud800"}, ValueRefused),
    ({"at": NOON.replace(tzinfo=None)}, ValueRefused),
    ({"note": object()}, ValueRefused),
    ({"parts": object()}, ValueRefused),
]


@pytest.mark.parametrize("within_savepoint", [False, True])
def test_the_same_error_is_raised(executor: Executor, within_savepoint: bool) -> None:
    """A value that cannot be is refused by the same name, and its transaction leaves nothing behind."""
    with executor.begin() as connection:
        connection.execute(ADD, thing(9))
    for changes, error in REFUSED:
        with pytest.raises(error) as caught, executor.begin() as connection:
            connection.execute(ADD, thing(2))
            with executor.savepoint(connection) if within_savepoint else nullcontext():
                connection.execute(ADD, thing(1, **changes))
        assert type(caught.value) is error, changes
        assert executor.numbers() == [9]


def test_an_error_tells_no_row(executor: Executor) -> None:
    """What is logged or kept with a dead letter names the constraint, not the customer's address."""
    with pytest.raises(ValueRefused) as caught:
        executor.stored(thing(13, note="1 Main Street"))
    assert "luck" in str(caught.value)
    assert "Street" not in str(caught.value)


def test_a_savepoint_that_fails_undoes_itself_alone(executor: Executor) -> None:
    """What was before and what comes after it is kept; an error within it is raised within it."""
    with executor.begin() as connection:
        connection.execute(ADD, thing(1))
        for bad in (ADD, ROWS):
            with pytest.raises((Duplicate, RowsChanged)), executor.savepoint(connection):
                connection.execute(ADD, thing(2))
                if bad is ADD:
                    connection.execute(ADD, thing(1))
                else:
                    ROWS.save(connection, [thing(1, version=5, body=None) | {"at": timestamp(NOON)}])
        with pytest.raises(ZeroDivisionError), executor.savepoint(connection):
            connection.execute(ADD, thing(3))
            raise ZeroDivisionError
        with executor.savepoint(connection):
            connection.execute(ADD, thing(4))
            with executor.savepoint(connection):
                connection.execute(ADD, thing(5))
        assert connection.execute(COUNT).scalar_one() == 3
    assert executor.numbers() == [1, 4, 5]


def test_savepoints_belong_to_their_transaction(executor: Executor) -> None:
    """One that succeeded is undone with the transaction."""
    with pytest.raises(ZeroDivisionError), executor.begin() as connection:
        with executor.savepoint(connection):
            connection.execute(ADD, thing(1))
        raise ZeroDivisionError
    assert executor.numbers() == []


@pytest.mark.parametrize(
    "sql", ["SELECT missing FROM things", "SELECT 1 FROM missing", "INSERT INTO things (x) VALUES (1)"]
)
def test_a_schema_that_is_not_the_programs_is_no_values_fault(executor: Executor, sql: str) -> None:
    """It is transient: somebody migrates, and the same transaction works."""
    with pytest.raises(SchemaMismatch), executor.begin() as connection:
        connection.execute(text(sql)).all()
    assert executor.stored(thing(1)) == thing(1)


def test_a_lock_that_another_holds_is_transient(executor: Executor) -> None:
    """Nothing is done; when it is free again, the same transaction works."""
    with executor.begin() as connection:
        connection.execute(ADD, thing(1))

    def move() -> None:
        with executor.begin() as connection:
            connection.execute(MOVED, {"which": KEY, "to": 2})

    with ThreadPoolExecutor(1) as other:
        with executor.database.transaction() as connection:
            connection.execute(MOVED, {"which": KEY, "to": 3})
            with pytest.raises(LockTimeout):
                other.submit(move).result(30)
        other.submit(move).result(30)
    assert executor.numbers() == [2]


@pytest.fixture
def on_postgresql(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[Callable[[bool], Executor]]:
    with Database(postgres_url, timeouts=Timeouts(lock=0.1, statement=0.5, answer=5.0)) as database:
        METADATA.create_all(database.engine)
        yield lambda is_batch: Executor(database, is_batch)


@pytest.mark.parametrize("is_batch", [True, False])
def test_a_statement_that_takes_too_long_is_transient(
    on_postgresql: Callable[[bool], Executor], is_batch: bool
) -> None:
    """The server stops it, and the connection works on."""
    executor = on_postgresql(is_batch)
    with pytest.raises(TransientError), executor.begin() as connection:
        connection.execute(text("SELECT pg_sleep(30)")).all()
    assert executor.stored(thing(1)) == thing(1)


@pytest.mark.parametrize("is_batch", [True, False])
@pytest.mark.parametrize("within_savepoint", [True, False])
def test_a_connection_that_is_lost_is_transient(
    on_postgresql: Callable[[bool], Executor], is_batch: bool, within_savepoint: bool
) -> None:
    """Nothing is kept, and the next transaction has another connection."""
    executor = on_postgresql(is_batch)

    def kill(connection: Any) -> None:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with Database(executor.database.url) as killer, killer.reading() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

    with pytest.raises(TransientError), executor.begin() as connection:
        connection.execute(ADD, thing(1))
        kill(connection)
        if within_savepoint:
            with executor.savepoint(connection):
                connection.execute(ADD, thing(2))
        else:
            connection.execute(ADD, thing(2))
    assert executor.stored(thing(3)) == thing(3)
    assert executor.numbers() == [3]


@pytest.mark.parametrize("is_batch", [True, False])
@pytest.mark.parametrize("sql", ["SELECT 1.5", "SELECT CAST('2026-01-01' AS date)", "SELECT ARRAY[1]"])
def test_a_type_that_no_one_has_a_reader_for_is_an_error(
    on_postgresql: Callable[[bool], Executor], is_batch: bool, sql: str
) -> None:
    """A batch does not hand out the server's text for it; a cast in the statement says what it is to be."""
    executor = on_postgresql(is_batch)
    if is_batch:
        with pytest.raises(TypeError, match="no reader"), executor.begin() as connection:
            connection.execute(text(sql)).all()
    with executor.begin() as connection:
        assert connection.execute(text(f"SELECT CAST(({sql}) AS text)")).scalar_one()


def test_a_nul_is_no_text_of_postgresql(on_postgresql: Callable[[bool], Executor]) -> None:
    """It is refused, and not cut off."""
    for is_batch in (True, False):
        with pytest.raises(ValueRefused):
            on_postgresql(is_batch).stored(thing(1, note="cut\0off"))
        with pytest.raises(ValueRefused):
            on_postgresql(is_batch).stored(thing(1, note="x" * 51))


def test_a_batch_belongs_to_its_thread(database_url: str) -> None:
    """Another thread cannot use it, and its own thread begins no other one meanwhile."""
    with Database(database_url) as database, ThreadPoolExecutor(1) as other:
        METADATA.create_all(database.engine)
        for begin in (database.batch, database.reading_batch):
            with begin() as batch:
                with pytest.raises(RuntimeError, match="thread"):
                    other.submit(batch.execute, COUNT).result(10)
                with pytest.raises(RuntimeError, match="already"), begin():
                    raise AssertionError("never reached")
                assert batch.execute(COUNT).scalar_one() == 0


def test_a_block_that_swallows_an_error_keeps_nothing(database_url: str) -> None:
    """A batch that goes on after a statement failed is told so again by its end."""
    with Database(database_url) as database:
        METADATA.create_all(database.engine)
        with pytest.raises(Duplicate), database.batch() as batch:
            batch.execute(ADD, thing(1))
            with pytest.raises(Duplicate):
                batch.execute(ADD, thing(1))
                batch.execute(COUNT).all()
        with database.batch() as batch:
            assert batch.execute(COUNT).scalar_one() == 0


def test_json_that_is_read_is_the_json_that_was_written(executor: Executor) -> None:
    """Whatever text stands for it in the database."""
    parts = json.loads(f'{{"z": 1, "a": [1.0, 2e3, "\\u00fc", {{"id": "{UUID(int=7)}"}}]}}')
    assert executor.stored(thing(parts=parts))["parts"] == parts
