"""What the reconciliation reads of the order service's own tables, page by page, and how far it has looked."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, String, bindparam, func, select, update

from order_service.feed import knows_position, moves
from order_service.fulfillment.inputs import DifferenceFound
from order_service.fulfillment.saga import OrderStatus
from order_service.queries import find_rows, orders_with_sagas
from order_service.store import Row
from order_service.tables import TABLES, awake, orders, reconciliation_marks, saga_history, sagas
from order_service.view import Order, order_from
from shared.database import Id, UtcDateTime, batch_rows
from shared.ids import first_id

AT_A_TIME = 200
FINAL = {each for each in OrderStatus if each.final}

_marks = reconciliation_marks.c
_page = (
    orders_with_sagas.where(
        orders.c.id > bindparam("after", type_=Id), sagas.c.updated_at < bindparam("before", type_=UtcDateTime)
    )
    .order_by(orders.c.id)
    .limit(AT_A_TIME)
)
_standing_still = _page.where(awake)
_changed = _page.where(sagas.c.updated_at >= bindparam("since", type_=UtcDateTime))
_named = batch_rows("named", order_id=Id)
_ids = select(_named.c.order_id)
_known = select(sagas.c.order_id).where(sagas.c.order_id.in_(_ids))
_placed = select(orders).where(orders.c.id.in_(_ids))
_last = (
    select(saga_history.c.order_id, saga_history.c.seq, saga_history.c.hash)
    .where(saga_history.c.order_id.in_(_ids))
    .order_by(saga_history.c.order_id, saga_history.c.seq)
)
_tried = (
    select(saga_history.c.order_id, saga_history.c.detail, func.count())
    .where(saga_history.c.order_id.in_(_ids), saga_history.c.event == DifferenceFound.type)
    .group_by(saga_history.c.order_id, saga_history.c.detail)
)
_find_mark = select(_marks.position).where(_marks.name == bindparam("mark", type_=String))
_move_mark = (
    update(reconciliation_marks)
    .where(_marks.name == bindparam("mark", type_=String), _marks.position == bindparam("before"))
    .values(position=bindparam("after"))
)
letters = TABLES.dead_letters.table
_unknown = (
    select(letters.c.correlation_id, letters.c.message_id)
    .where(
        letters.c.state == "parked",
        letters.c.reason.startswith("unknown_order:", autoescape=True),
        letters.c.received_at < bindparam("before", type_=UtcDateTime),
    )
    .order_by(letters.c.message_id.desc())  # the newest: what nobody can use may stay for long
    .limit(bindparam("most"))
)


class Ended(NamedTuple):
    """Orders of which the history says that they are at rest, up to a position of it."""

    orders: list[Order]
    position: int
    whole: bool  # there is nothing more to be read yet


def standing_still(connection: Connection, before: datetime, after: str) -> list[Order]:
    """The next orders under way, by id, that have not moved since `before`."""
    found = connection.execute(_standing_still, {"before": before, "after": after}).mappings()
    return [order_from(row) for row in found]


def changed_since(connection: Connection, since: datetime, before: datetime, after: str) -> list[Order]:
    """The next orders, by id, whose last change was between the two."""
    found = connection.execute(_changed, {"since": since, "before": before, "after": after}).mappings()
    return [order_from(row) for row in found]


def ended_since(connection: Connection, position: int, before: datetime) -> Ended:
    """The next orders that have come to rest, or of which something was heard there, behind a position of the history:
    up to the first line that is younger than `before`."""
    read = moves(connection, position)
    young = next((each.position for each in read if each.at >= before), None)
    old = [each for each in read if young is None or each.position < young]
    if not old:
        return Ended([], position, whole=True)
    ids = {each.order_id for each in old if OrderStatus(each.to_status) in FINAL}
    found = [order_from(row) for row in find_rows(connection, ids).values()]
    return Ended([each for each in found if each.status.final], old[-1].position, whole=young is not None)


def known_orders(connection: Connection, order_ids: Collection[str]) -> set[str]:
    """Those of these that there are."""
    return set(connection.execute(_known, named(order_ids)).scalars())


def placed_orders(connection: Connection, order_ids: Collection[str]) -> dict[str, Row]:
    """The rows of those orders of these whose saga may be gone."""
    return {row["id"]: row for row in connection.execute(_placed, named(order_ids)).mappings()}


def last_entries(connection: Connection, order_ids: Collection[str]) -> dict[str, tuple[int, str]]:
    """The number and the hash of the last line of history that is left of these."""
    return {row.order_id: (row.seq, row.hash) for row in connection.execute(_last, named(order_ids))}


def tried(connection: Connection, order_ids: Collection[str]) -> dict[tuple[str, str | None], int]:
    """How often each difference was found before, by order and detail."""
    return {(order_id, detail): int(count) for order_id, detail, count in connection.execute(_tried, named(order_ids))}


def unknown_in_letters(connection: Connection, before: datetime, most: int) -> dict[str, list[str]]:
    """The ids of dead letters about orders that were not known when they came, by order id."""
    found: dict[str, list[str]] = {}
    for order_id, message_id in connection.execute(_unknown, {"before": before, "most": most}):
        found.setdefault(order_id, []).append(message_id)
    return found


def mark(connection: Connection, name: str) -> int:
    """How far was looked: 0 in the beginning, and when the history is not the one that the mark was set in."""
    position = int(connection.execute(_find_mark, {"mark": name}).scalar_one_or_none() or 0)
    return position if name != "ended" or knows_position(connection, position) else 0


def move_mark(connection: Connection, name: str, before: int, after: int) -> None:
    """Note that it was looked up to there; unless somebody else has moved the mark meanwhile."""
    connection.execute(_move_mark, {"mark": name, "before": before, "after": after})


def lock_marks(connection: Connection) -> None:
    """Let nobody else find lost orders until this transaction ends."""
    connection.execute(select(reconciliation_marks).order_by(_marks.name).with_for_update()).all()


def named(order_ids: Collection[str]) -> dict[str, Sequence[dict[str, str]]]:
    return {"named": [{"order_id": each} for each in sorted(set(order_ids))]}


def is_old(order_id: str, before: datetime) -> bool:
    """Whether this id was made before that."""
    return order_id < first_id(before)
