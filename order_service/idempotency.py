"""Idempotency keys: each is used for one order, whose answer is given again to whoever sends the key again."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from sqlalchemy import String, select, true
from sqlalchemy.dialects.postgresql import insert

from order_service.tables import idempotency_keys
from shared.database import Transaction, batch_rows


class Key(NamedTuple):
    """The same key of another principal, or for another path, is another key."""

    principal: str
    path: str
    key: str


class Answer(NamedTuple):
    """What was answered under a key, to a body with this hash."""

    body_hash: str
    order_id: str
    response: bytes


_columns = (idempotency_keys.c.principal, idempotency_keys.c.path, idempotency_keys.c.key)
_keys = batch_rows("keys", **{c.name: c.type for c in idempotency_keys.c})
_claim = (
    insert(idempotency_keys)
    .from_select(
        [c.name for c in idempotency_keys.c],
        select(*_keys.c).where(true()).order_by(_keys.c.principal, _keys.c.path, _keys.c.key),
    )
    .on_conflict_do_nothing(index_elements=list(_columns))
    .returning(*_columns)
)
_known = batch_rows("known", principal=String, path=String, key=String)
_find = select(*_columns, *(idempotency_keys.c[name] for name in Answer._fields)).join(
    _known,
    (_columns[0] == _known.c.principal) & (_columns[1] == _known.c.path) & (_columns[2] == _known.c.key),
)


def claim_keys(connection: Transaction, answers: Mapping[Key, Answer]) -> set[Key]:
    """Keep these answers under their keys; returns the keys that nobody used before, the others stay as they were.

    Waits for another transaction that claims one of them at this instant, as long as the lock timeout allows.
    """
    if not answers:
        return set()
    rows = [
        {**key._asdict(), **answer._asdict(), "response": answer.response.decode()} for key, answer in answers.items()
    ]
    return {Key(row.principal, row.path, row.key) for row in connection.execute(_claim, {"keys": rows})}


def find_answers(connection: Transaction, keys: Collection[Key]) -> dict[Key, Answer]:
    """What was answered under these keys. Unknown ones are left out."""
    if not keys:
        return {}
    found = connection.execute(_find, {"known": [key._asdict() for key in keys]})
    return {
        Key(row.principal, row.path, row.key): Answer(row.body_hash, row.order_id, row.response.encode())
        for row in found
    }
