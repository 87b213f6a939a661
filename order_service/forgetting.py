"""Forgetting persons: addresses and payment tokens of orders that are done with, and the answers kept under keys.

Orders, amounts, ledgers and history stay whole, and so does the customer's id, which is all over the history: a shop
that gives ids tells no names by them. Each transaction leaves nothing half done; repeating goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Integer, String, bindparam, delete, select, update

from order_service.store import Row, json
from order_service.tables import TABLES, awake, idempotency_keys, orders, remembered, sagas
from shared.clock import Clock
from shared.contracts import OrderForgotten
from shared.database import Database, Id, Transaction, UtcDateTime, batch_rows
from shared.ids import FIRST, NewId, first_id, uuid7
from shared.messaging.envelope import enclose
from shared.messaging.notifier import Notifier

MOST = 10_000  # orders for one call

_json = msgspec.json.Decoder()
_behind, _most = bindparam("behind", type_=Id), bindparam("most", type_=Integer)
_done = (
    select(orders.c.id, orders.c.ship_to, sagas.c.facts)
    .join(sagas, sagas.c.order_id == orders.c.id)
    .where(remembered, sagas.c.wake_at.is_(None), orders.c.id > _behind)
    .order_by(orders.c.id)
    .limit(_most)
)
_of_customer = _done.where(orders.c.customer_id == bindparam("customer_id", type_=String)).with_for_update(of=sagas)
_old = _done.where(
    orders.c.id < bindparam("placed_before", type_=Id), sagas.c.updated_at < bindparam("before", type_=UtcDateTime)
).with_for_update(of=sagas, skip_locked=True)
_blank = batch_rows("blank", order_id=Id, ship_to=String, facts=String)
_blank_orders = (
    update(orders)
    .where(orders.c.id == _blank.c.order_id)
    .values(ship_to=_blank.c.ship_to, forgotten_at=bindparam("now", type_=UtcDateTime))
)
_blank_sagas = update(sagas).where(sagas.c.order_id == _blank.c.order_id).values(facts=_blank.c.facts)
_open = (
    select(orders.c.id)
    .join(sagas, sagas.c.order_id == orders.c.id)
    .where(awake, orders.c.customer_id == bindparam("customer_id", type_=String))
    .order_by(orders.c.id)
    .limit(_most)
)
_old_keys = (
    select(idempotency_keys.c.order_id)
    .where(idempotency_keys.c.order_id > _behind, idempotency_keys.c.order_id < bindparam("placed_before", type_=Id))
    .order_by(idempotency_keys.c.order_id)
    .limit(_most)
)
_forget_old_keys = (
    delete(idempotency_keys)
    .where(idempotency_keys.c.order_id.in_(_old_keys.scalar_subquery()))
    .returning(idempotency_keys.c.order_id)
)
_forgotten = batch_rows("forgotten", order_id=Id)
_forget_keys = delete(idempotency_keys).where(idempotency_keys.c.order_id.in_(select(_forgotten.c.order_id)))


class StillOpen(Exception):
    """The customer has orders under way, which need their address; `order_ids` are some of them."""

    def __init__(self, order_ids: Sequence[str]) -> None:
        super().__init__(", ".join(order_ids))
        self.order_ids = order_ids


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """What one call removed: from how many orders, and whether that was all there is."""

    orders: int
    finished: bool


def blank(connection: Transaction, rows: Sequence[Row], now: datetime) -> None:
    """Remove from these orders, which are locked and at rest, whose they are, and what was answered to their keys."""
    if not rows:
        return
    blanked = [_blanked(row) for row in rows]
    connection.execute(_blank_orders, {"blank": blanked, "now": now})
    connection.execute(_blank_sagas, {"blank": blanked})
    connection.execute(_forget_keys, {"forgotten": [{"order_id": row["id"]} for row in rows]})


def _blanked(row: Row) -> Row:
    address, facts = _json.decode(row["ship_to"]), _json.decode(row["facts"])
    nowhere = dict.fromkeys(address, "") | {"country": address["country"]}
    facts |= {"ship_to": nowhere, "payment_token": ""}
    return {"order_id": row["id"], "ship_to": json(nowhere), "facts": json(facts)}


class Retention:
    """The chore of one worker: forgets what is old. Not for several threads at once."""

    def __init__(self, personal: timedelta, keys: timedelta) -> None:
        """An order is old when it has been at rest for `personal`, a key when its order was placed `keys` ago."""
        self._personal, self._keys = personal, keys
        self._behind = [FIRST, FIRST]  # what was removed stays in the indexes for a while

    def __call__(self, connection: Transaction, now: datetime, most: int) -> bool:
        """At most `most` orders and keys; says whether there may be more."""
        before = now - self._personal
        asked = {"behind": self._behind[0], "placed_before": first_id(before), "before": before, "most": most}
        rows = list(connection.execute(_old, asked).mappings())
        blank(connection, rows, now)
        asked = {"behind": self._behind[1], "placed_before": first_id(now - self._keys), "most": most}
        found = [[row["id"] for row in rows], [row[0] for row in connection.execute(_forget_old_keys, asked)]]
        self._behind = [max(ids) if len(ids) >= most else FIRST for ids in found]
        return any(behind != FIRST for behind in self._behind)


@dataclass(frozen=True, kw_only=True)
class Persons:
    """Where an operator has a customer forgotten."""

    database: Database
    clock: Clock
    notifier: Notifier
    new_id: NewId = uuid7
    at_a_time: int = 200  # orders in one transaction

    def forget(self, customer_id: str) -> Forgotten:
        """Remove what is personal from a customer's orders, and tell the participants to, in the same transactions.

        Ends after MOST orders. Raises StillOpen, and removes nothing, while some are under way. What another call has
        removed is left as it is, so calling it again finishes what a crash has left.
        """
        self._refuse_open(customer_id)
        count, behind, last = 0, FIRST, self.at_a_time
        while last == self.at_a_time and count < MOST:
            with self.database.transaction() as connection:
                now = self.clock.now(connection)
                asked = {"customer_id": customer_id, "behind": behind, "most": self.at_a_time}
                rows = connection.execute(_of_customer, asked).mappings().all()
                blank(connection, rows, now)
                told = [enclose(OrderForgotten(order_id=row["id"]), at=now, new_id=self.new_id) for row in rows]
                TABLES.outbox.add(connection, told, due_at=now)
            last = len(rows)
            count, behind = count + last, rows[-1]["id"] if rows else behind
            self.notifier.notify()
        self._refuse_open(customer_id)
        return Forgotten(orders=count, finished=last < self.at_a_time)

    def _refuse_open(self, customer_id: str) -> None:
        with self.database.reading() as connection:
            found = connection.execute(_open, {"customer_id": customer_id, "most": 5}).scalars().all()
        if found:
            raise StillOpen(found)
