"""The histories of all orders as one: their lines in the order in which they were committed."""

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select

from order_service.tables import saga_history
from order_service.view import EntryView, entry_view
from shared.database.commit_order import closed, is_known, newest

AT_A_TIME = 1_000

_rows = saga_history.c
_whole = select(saga_history).order_by(_rows.position, _rows.order_id, _rows.seq)
_steps = select(_rows.position, _rows.order_id, _rows.seq, _rows.at, _rows.did, _rows.from_status, _rows.to_status)


class Commit(NamedTuple):
    """The lines that one transaction has written, with their order ids."""

    position: int
    entries: list[tuple[str, EntryView]]


class Move(NamedTuple):
    """What a line of history says of its order's way."""

    position: int
    order_id: str
    seq: int
    at: datetime
    did: str
    from_status: str
    to_status: str


def end_of_feed(connection: Connection) -> int:
    """The position behind which everything is still to come."""
    return newest(connection, _rows.position)


def knows_position(connection: Connection, position: int) -> bool:
    return is_known(connection, _rows.position, position)


def commits(connection: Connection, after: int) -> list[Commit]:
    """The next transactions behind a position, whole, with about AT_A_TIME lines; none is ever left out."""
    found = _read(connection, _whole, after)
    return [
        Commit(position, [(row.order_id, entry_view(row._mapping)) for row in rows])
        for position, rows in groupby(found, key=attrgetter("position"))
    ]


def moves(connection: Connection, after: int) -> list[Move]:
    """The same, of each line only what a statistic needs."""
    wanted = _steps.order_by(_rows.position, _rows.order_id, _rows.seq)
    return [Move._make(row) for row in _read(connection, wanted, after)]


def latest_moves(connection: Connection, since: datetime, most: int) -> Iterator[Move]:
    """Backwards from the end of the feed: the lines since a moment, at most so many."""
    before = end_of_feed(connection) + 1
    left = most
    while left > 0:
        wanted = _steps.where(_rows.position < before).order_by(_rows.position.desc()).limit(min(left, AT_A_TIME))
        rows: list[Move] = [Move._make(row) for row in _rows_of(connection, wanted)]
        if not rows:
            return
        last = rows[-1].position
        if rows[0].position != last and len(rows) == AT_A_TIME:
            rows = [row for row in rows if row.position != last]  # it may not be whole
            before = last + 1
        else:
            before = last
        yield from rows
        if rows[-1].at < since:
            return
        left -= len(rows)


def _rows_of(connection: Connection, wanted: Any) -> list[Row[Any]]:
    return list(connection.execute(wanted))


def _read(connection: Connection, wanted: Any, after: int) -> list[Row[Any]]:
    behind = wanted.where(_rows.position > after, closed(connection, _rows.position))
    found = list(connection.execute(behind.limit(AT_A_TIME)))
    if len(found) < AT_A_TIME:
        return found
    last = found[-1].position
    if found[0].position == last:
        return list(connection.execute(wanted.where(_rows.position == last)))
    return [row for row in found if row.position != last]  # it may not be whole
