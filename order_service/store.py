"""Orders, sagas and their history in the database: constant statements, each for a whole batch of rows."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Boolean, Integer, RowMapping, String, bindparam, func, insert, select, update

from order_service.fulfillment.saga import Progress, Reason, Saga
from order_service.tables import orders, saga_history, sagas
from shared.database import Id, Transaction, UtcDateTime, batch_rows
from shared.database.commit_order import transaction_number

Row = Mapping[str, Any] | RowMapping

_facts = msgspec.json.Decoder(dict[str, Any])
_steps = msgspec.json.Decoder(dict[str, Progress])

_keys = batch_rows("keys", order_id=Id)
_lock = (
    select(sagas).join(_keys, sagas.c.order_id == _keys.c.order_id).order_by(sagas.c.order_id).with_for_update(of=sagas)
)
_lock_due = (
    select(sagas)
    .where(sagas.c.wake_at <= bindparam("now", type_=UtcDateTime))
    .order_by(sagas.c.wake_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_lock_waiting = (
    select(sagas)
    .where(sagas.c.wake_at.between(bindparam("later", type_=UtcDateTime), bindparam("latest", type_=UtcDateTime)))
    .order_by(sagas.c.wake_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_new_orders = batch_rows("new_orders", **{c.name: c.type for c in orders.c})
_add_orders = insert(orders).from_select([c.name for c in orders.c], select(*_new_orders.c))
_new_sagas = batch_rows("new_sagas", **{c.name: c.type for c in sagas.c})
_add_sagas = insert(sagas).from_select([c.name for c in sagas.c], select(*_new_sagas.c))
_moved = batch_rows(
    "moved",
    order_id=Id,
    facts=String,
    steps=String,
    backward=Boolean,
    reason=String,
    reason_detail=String,
    needs_attention=Boolean,
    wake_at=UtcDateTime,
    version=Integer,
    updated_at=UtcDateTime,
    history_hash=String,
)
_save_sagas = (
    update(sagas)
    .where(sagas.c.order_id == _moved.c.order_id)
    .values({c.name: c for c in _moved.c if c.name not in ("order_id", "facts")})
    .values(facts=func.coalesce(_moved.c.facts, sagas.c.facts))
)
_standing = batch_rows("standing", id=Id, status=String, reason=String, reason_detail=String, needs_attention=Boolean)
_save_orders = (
    update(orders).where(orders.c.id == _standing.c.id).values({c.name: c for c in _standing.c if c.name != "id"})
)
_entries = batch_rows("entries", **{c.name: c.type for c in saga_history.c if c.name != "position"})
_append = insert(saga_history).from_select(
    [*_entries.c.keys(), "position"], select(*_entries.c, transaction_number(saga_history.c.position))
)


def lock_sagas(connection: Transaction, order_ids: Iterable[str]) -> Sequence[Row]:
    """Lock and read the sagas of these orders, in one order for all workers. Unknown orders are left out."""
    keys = [{"order_id": each} for each in set(order_ids)]
    rows: Sequence[Row] = connection.execute(_lock, {"keys": keys}).mappings()
    return rows


def lock_due_sagas(connection: Transaction, now: datetime, most: int) -> Sequence[Row]:
    """Lock and read at most `most` sagas whose time has come, the longest overdue first, passing over those that
    another transaction has locked."""
    rows: Sequence[Row] = connection.execute(_lock_due, {"now": now, "most": most}).mappings()
    return rows


def lock_waiting_sagas(connection: Transaction, later: datetime, latest: datetime, most: int) -> Sequence[Row]:
    """Lock and read at most `most` sagas whose time comes between these two, those that were asked for
    longest ago first, passing over those that another transaction has locked."""
    asked = {"later": later, "latest": latest, "most": most}
    rows: Sequence[Row] = connection.execute(_lock_waiting, asked).mappings()
    return rows


def add_orders(connection: Transaction, rows: Sequence[Row]) -> None:
    """Add new orders; their sagas follow."""
    if rows:
        connection.execute(_add_orders, {"new_orders": rows})


def add_sagas(connection: Transaction, rows: Sequence[Row]) -> None:
    """Add the sagas of new orders."""
    if rows:
        connection.execute(_add_sagas, {"new_sagas": rows})


def save_sagas(connection: Transaction, rows: Sequence[Row]) -> None:
    """Write sagas that were read and have moved; `facts` that are None stay as they are."""
    if rows:
        connection.execute(_save_sagas, {"moved": rows})


def save_orders(connection: Transaction, rows: Sequence[Row]) -> None:
    """Write the status of orders, with what one sees beside it."""
    if rows:
        connection.execute(_save_orders, {"standing": rows})


def append_history(connection: Transaction, entries: Sequence[Row]) -> None:
    """Write lines of history."""
    if entries:
        connection.execute(_append, {"entries": entries})


def saga_from(row: Row) -> Saga:
    """The saga in a row that has the columns of `sagas`."""
    reason = row["reason"]
    return Saga(
        facts=_facts.decode(row["facts"]),
        steps=_steps.decode(row["steps"]),
        backward=row["backward"],
        reason=Reason(reason) if reason else None,
        reason_detail=row["reason_detail"],
    )


def json(value: Any) -> str:
    """A value as the text that a column keeps. SQLite would read it anew for every other column of its row."""
    return msgspec.json.encode(value).decode()
