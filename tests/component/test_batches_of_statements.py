"""A batch's transaction on both databases: what it returns, what it keeps, and what is left of one that failed."""

# ruff: noqa: PT012 - the block is the transaction that fails

from collections.abc import Iterator
from datetime import UTC

import pytest
from sqlalchemy import Boolean, Integer, String, bindparam, select, text

from shared.database import Database, Duplicate, Id, RowsChanged, ValueRefused, VersionedRows, batch_rows, timestamp
from tests.component.parcel_table import ADD, METADATA, NOON, PARCEL, WEIGHTS, parcel, parcels, weights

ROWS = VersionedRows(parcels)
LOOK = select(parcels).where(parcels.c.order_id == bindparam("which", type_=Id))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url) as opened:
        METADATA.create_all(opened.engine)
        yield opened


def test_what_was_written_is_read_as_sqlalchemy_reads_it(database: Database) -> None:
    """Ids are texts, times are UTC, JSON is what it was, NULL is None: whichever way the statement goes."""
    with database.batch() as connection:
        connection.execute(ADD, parcel(1, note="für Ada"))
        (row,) = connection.execute(LOOK, {"which": PARCEL}).mappings()
    with database.reading() as connection:
        usual = dict(connection.execute(LOOK, {"which": PARCEL}).mappings().one())
    assert dict(row) == usual == parcel(1, note="für Ada")
    assert row["sent_at"].tzinfo is UTC


def test_several_rows_may_be_given_to_one_statement(database: Database) -> None:
    """It is carried out for each."""
    with database.batch() as connection:
        connection.execute(ADD, [parcel(1), parcel(2)])
    assert weights(database) == [1, 2]


def test_answers_may_be_read_in_any_order(database: Database) -> None:
    """An answer that is not read at once is not lost."""
    with database.batch() as connection:
        connection.execute(ADD, parcel(1))
        first = connection.execute(WEIGHTS)
        connection.execute(ADD, parcel(2))
        second = connection.execute(WEIGHTS)
        assert [row.grams for row in second] == [1, 2]
        assert [row.grams for row in first] == [1]
        assert connection.execute(text("SELECT 7")).scalar_one() == 7


@pytest.mark.parametrize("autocommit", [False, True])
def test_a_statement_that_fails_leaves_nothing_behind(database: Database, autocommit: bool) -> None:
    """Nothing before it is kept, nothing behind it is done, and the connection works on."""
    with pytest.raises(Duplicate), database.batch(autocommit=autocommit) as connection:
        connection.execute(ADD, parcel(1))
        connection.execute(ADD, parcel(1))
        connection.execute(ADD, parcel(2))
    assert weights(database) == []
    with database.batch() as connection:
        connection.execute(ADD, parcel(3))
    assert weights(database) == [3]


def test_a_statement_that_fails_fails_where_it_is_read(database: Database) -> None:
    """An error is raised by the first question behind it, at the latest."""
    with database.batch() as connection:
        connection.execute(ADD, parcel(1))
    reached = False
    with pytest.raises(Duplicate), database.batch() as connection:
        connection.execute(ADD, parcel(1))
        connection.execute(WEIGHTS).all()
        reached = True
    assert not reached


@pytest.mark.parametrize("question", [True, False])
def test_a_block_that_raises_is_rolled_back(database: Database, question: bool) -> None:
    """Whether or not something was sent by then."""
    with pytest.raises(KeyboardInterrupt), database.batch() as connection:
        connection.execute(ADD, parcel(1))
        if question:
            connection.execute(WEIGHTS).all()
        raise KeyboardInterrupt
    assert weights(database) == []


def test_rows_that_somebody_else_wrote_end_the_batch(database: Database) -> None:
    """A version that does not follow the one that is there is refused, with all that belongs to it."""
    row = parcel(1, stickers="{}", sent_at=timestamp(NOON))
    with database.batch() as connection:
        ROWS.save(connection, [row])
        ROWS.save(connection, [row | {"version": 2, "grams": 2}])
    for version in (2, 4):
        with pytest.raises(RowsChanged), database.batch() as connection:
            connection.execute(ADD, parcel(9))
            ROWS.save(connection, [row | {"version": version, "grams": 3}])
    with pytest.raises(RowsChanged), database.transaction() as connection:
        ROWS.save(connection, [row | {"version": 2, "grams": 3}])
    assert weights(database) == [2]


def test_rows_are_the_same_table_on_both_databases(database: Database) -> None:
    """Values keep what they are, whatever order or other keys their mapping has; what has parts is their JSON text."""
    things = batch_rows("things", name=String, number=Integer, yes=Boolean, parts=String, note=String)
    odd = 'POPULAR-"LAMP", für [0]\\'
    row = {"yes": True, "number": 7, "parts": {"up": [1, 2]}, "note": None, "name": odd, "other": "x"}
    single = batch_rows("singles", name=String)
    with database.batch() as batch, database.reading() as usual:
        for connection in (batch, usual):
            assert list(connection.execute(select(things), {"things": [row]}).mappings()) == [
                {"name": odd, "number": 7, "yes": True, "parts": '{"up":[1,2]}', "note": None}
            ]
            found = connection.execute(select(single.c.name), {"singles": [{"name": "7"}, {"name": odd}]})
            assert [each.name for each in found] == ["7", odd]
            assert list(connection.execute(select(single), {"singles": []})) == []


def test_a_batch_may_be_larger_than_what_the_network_holds(database: Database) -> None:
    """Megabytes go out while megabytes come in."""
    numbers = batch_rows("numbers", number=Integer, note=String)
    echo = select(numbers.c.number, numbers.c.note).order_by(numbers.c.number)
    rows = [{"number": number, "note": "x" * 40} for number in range(60_000)]
    with database.batch() as connection:
        answers = [connection.execute(echo, {"numbers": rows}) for _ in range(6)]
        assert [sum(row.number for row in answer) for answer in answers] == [sum(range(60_000))] * 6


def test_a_text_with_a_nul_is_refused(postgres_url: str) -> None:
    """It would be cut off there on its way to PostgreSQL."""
    with Database(postgres_url) as database:
        METADATA.create_all(database.engine)
        with pytest.raises(ValueRefused), database.batch() as connection:
            connection.execute(ADD, parcel(1, note="cut\0off"))
        assert weights(database) == []


def test_a_batch_within_a_batch_is_refused(database: Database) -> None:
    """They would share the thread's connection; the outer one goes on."""
    with database.batch() as connection:
        connection.execute(ADD, parcel(1))
        with pytest.raises(RuntimeError), database.batch():
            raise AssertionError("never reached")
        connection.execute(ADD, parcel(2))
    assert weights(database) == [1, 2]


def test_a_naive_time_is_refused(database: Database) -> None:
    """It would mean another moment on another machine."""
    naive = NOON.replace(tzinfo=None)
    with pytest.raises(ValueRefused, match="ambiguous"), database.batch() as connection:
        connection.execute(ADD, parcel(1, sent_at=naive))
    with pytest.raises(ValueRefused, match="ambiguous"), database.transaction() as connection:
        connection.execute(ADD, parcel(1, sent_at=naive))
    with pytest.raises(ValueRefused, match="ambiguous"):
        timestamp(naive)
    assert weights(database) == []


def test_times_are_read_whatever_the_server_writes(postgres_url: str) -> None:
    """A server that prefers another way to write times, in another zone, is asked for this one."""
    with Database(postgres_url) as database:
        METADATA.create_all(database.engine)
        with database.transaction() as connection:
            connection.execute(text("ALTER ROLE postgres SET datestyle = 'German'"))
            connection.execute(text("ALTER ROLE postgres SET timezone = 'Asia/Kathmandu'"))
        with Database(postgres_url) as other, other.batch() as connection:
            connection.execute(ADD, parcel(1))
            (row,) = connection.execute(LOOK, {"which": PARCEL}).mappings()
        assert row["sent_at"] == NOON
        with database.transaction() as connection:
            connection.execute(text("ALTER ROLE postgres RESET ALL"))


def test_what_commits_by_itself_is_kept_at_once_on_a_connection_that_lay_idle(database: Database) -> None:
    """To try the connection before its use opens no transaction, in which all that follows would hang."""
    with Database(database.url, idle=0.0) as idle:
        with idle.batch() as connection:
            connection.execute(ADD, parcel(1))
        for number in (2, 3):
            with idle.batch(autocommit=True) as connection:
                connection.execute(ADD, parcel(number))
        assert weights(database) == [1, 2, 3]
