"""Statements of a batch are constant: one that is built for each call is an error, and no leak."""

# ruff: noqa: PT012 - the block is the transaction that fails

import pytest
from sqlalchemy import literal_column, select, text

from shared.database import Database, NotConstant
from shared.database.statements import MOST_OBJECTS, MOST_TEXTS
from tests.component.parcel_table import ADD, METADATA, WEIGHTS, parcel, parcels, weights

PREPARED = text("SELECT COUNT(*) FROM pg_prepared_statements")
WHOAMI = text("SELECT pg_backend_pid()")


def test_a_statement_that_is_built_for_each_call_is_an_error(database_url: str) -> None:
    """Its batch is undone, and the thread works on with a connection on which nothing is prepared."""
    with Database(database_url) as database:
        METADATA.create_all(database.engine)

        def careless() -> None:
            with database.batch() as batch:
                batch.execute(ADD, parcel(1))
                batch.execute(select(parcels.c.note)).all()
                raise KeyError

        for _ in range(MOST_OBJECTS):
            with pytest.raises(KeyError):
                careless()
        with pytest.raises(NotConstant, match=r"SELECT parcels\.note"):
            careless()
        assert weights(database) == []
        with pytest.raises(KeyError):
            careless()


def test_a_statement_whose_text_differs_each_time_is_an_error(database_url: str) -> None:
    """As one does that has its values written into it: a connection knows only so many."""
    with Database(database_url) as database:
        METADATA.create_all(database.engine)
        statements = [select(literal_column(str(number))) for number in range(MOST_TEXTS + 1)]
        with pytest.raises(NotConstant), database.batch() as batch:
            for statement in statements:
                batch.execute(statement)
        assert weights(database) == []


def test_a_text_is_prepared_once(postgres_url: str) -> None:
    """However many batches execute it, and though two modules built the same statement."""
    with Database(postgres_url) as database:
        METADATA.create_all(database.engine)
        twin = select(parcels.c.grams).order_by(parcels.c.grams)

        def prepared() -> int:
            with database.reading_batch() as batch:
                return int(batch.execute(PREPARED).scalar_one())

        counts = set()
        for number in range(50):
            with database.batch() as batch:
                batch.execute(ADD, parcel(number))
                assert batch.execute(WEIGHTS).all() == batch.execute(twin).all()
            counts.add(prepared())
        assert counts == {3}  # ADD, WEIGHTS and the one that counts


def test_what_was_prepared_goes_with_its_connection(postgres_url: str) -> None:
    """After the error nothing of the old connection is left on the server."""
    with Database(postgres_url) as database:
        with database.reading_batch() as batch:
            pid = batch.execute(WHOAMI).scalar_one()
        with pytest.raises(NotConstant), database.reading_batch() as batch:
            for _ in range(MOST_OBJECTS + 1):
                batch.execute(text("SELECT 7"))
        with database.reading_batch() as batch:
            assert batch.execute(WHOAMI).scalar_one() != pid
            assert batch.execute(PREPARED).scalar_one() <= 2
