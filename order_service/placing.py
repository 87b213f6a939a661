"""Placing orders, many in one transaction: the key that makes each unique, the order, its saga, its first messages."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import String, select, true
from sqlalchemy.dialects.postgresql import insert

from order_service.catalog import find_products
from order_service.domain import NewOrder, Order, Product, Record, price
from order_service.fulfillment.saga import OrderPlaced, Workflow
from order_service.sagas import Held, append_history, json, saga_row
from order_service.tables import TABLES, idempotency_keys, orders, sagas
from order_service.view import as_bytes, order_view
from shared.contracts import Event
from shared.database import Transaction, batch_rows, timestamp
from shared.ids import NewId, uuid7
from shared.messaging.envelope import enclose

PLACED = OrderPlaced()


@dataclass(frozen=True)
class Placed:
    """It is an order now. `response` is the order as JSON: the same bytes however often it is sent."""

    order_id: str
    response: bytes


@dataclass(frozen=True)
class Replayed(Placed):
    """It was an order already, under this key and with this body."""


@dataclass(frozen=True)
class Mismatch:
    """The key was used before, for another body."""


@dataclass(frozen=True)
class NotSold:
    """Some of what is ordered is not in the catalog; `positions` are the indices of those lines."""

    positions: tuple[int, ...]


Outcome = Placed | Mismatch | NotSold


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What holds for orders placed now."""

    flow: Workflow
    currency: str
    approval_from: int  # minor units


Key = tuple[str, str, str]  # principal, path, key

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
_find = select(*_columns, *(idempotency_keys.c[name] for name in ("body_hash", "order_id", "response"))).join(
    _known,
    (_columns[0] == _known.c.principal) & (_columns[1] == _known.c.path) & (_columns[2] == _known.c.key),
)
_orders = batch_rows("new_orders", **{c.name: c.type for c in orders.c})
_add_orders = insert(orders).from_select([c.name for c in orders.c], select(*_orders.c))
_sagas = batch_rows("new_sagas", **{c.name: c.type for c in sagas.c})
_add_sagas = insert(sagas).from_select([c.name for c in sagas.c], select(*_sagas.c))


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """An order on its way in, as far as it can be known before its key is."""

    wanted: NewOrder
    held: Held
    order: Order
    said: tuple[Event, ...]
    response: bytes


def place(
    connection: Transaction, now: datetime, wanted: Sequence[NewOrder], terms: Terms, new_id: NewId = uuid7
) -> list[Outcome]:
    """Place a group of orders; answers in their order. Their first messages are in the outbox, due at once.

    The same key twice, in the group or in an earlier transaction, is one order. Waits for another transaction that is
    placing one of these keys this instant, as long as the database's lock timeout allows.
    """
    products = find_products(connection, {wish.sku for each in wanted for wish in each.lines})
    drafts: dict[Key, _Draft] = {}
    for each in wanted:
        if _key(each) not in drafts and not _unsold(each, products):
            drafts[_key(each)] = _draft(each, products, terms, now, new_id(now))
    fresh = _claim_keys(connection, drafts)
    earlier = _find_keys(connection, {_key(each) for each in wanted} - fresh)
    _write(connection, [draft for key, draft in drafts.items() if key in fresh], now, new_id)

    outcomes: list[Outcome] = []
    for each in wanted:
        key = _key(each)
        if key in earlier:
            body_hash, placed = earlier[key]
            outcomes.append(placed if body_hash == each.body_hash else Mismatch())
        elif key in fresh:
            draft = drafts[key]
            kind = Placed if each is draft.wanted else Replayed
            same = each.body_hash == draft.wanted.body_hash
            outcomes.append(kind(draft.order.id, draft.response) if same else Mismatch())
        else:
            outcomes.append(NotSold(_unsold(each, products)))
    return outcomes


def _key(order: NewOrder) -> Key:
    return order.principal, order.path, order.key


def _unsold(order: NewOrder, products: Mapping[str, Product]) -> tuple[int, ...]:
    return tuple(index for index, wish in enumerate(order.lines) if wish.sku not in products)


def _draft(wanted: NewOrder, products: Mapping[str, Product], terms: Terms, now: datetime, order_id: str) -> _Draft:
    lines = price(wanted.lines, products)
    total = sum(line["line_total"] for line in lines)
    facts = {
        "order_id": order_id,
        "amount": total,
        "currency": terms.currency,
        "payment_token": wanted.payment_token,
        "lines": [{"sku": wish.sku, "quantity": wish.quantity} for wish in wanted.lines],
        "ship_to": dict(wanted.ship_to),
        "needs_approval": total >= terms.approval_from,
    }
    held = Held.start(order_id, terms.flow, facts, now)
    decision = held.hear(PLACED, now, wanted.principal)
    order = Order(
        id=order_id,
        customer_id=wanted.customer_id,
        lines=lines,
        total=total,
        currency=terms.currency,
        ship_to=wanted.ship_to,
        placed_at=now,
        status=decision.history[0].to_status,
    )
    record = Record(
        order=order, saga=held.saga, workflow_version=terms.flow.version, version=held.version, updated_at=now
    )
    response = as_bytes(order_view(record, terms.flow))
    return _Draft(wanted=wanted, held=held, order=order, said=decision.messages, response=response)


def _claim_keys(connection: Transaction, drafts: Mapping[Key, _Draft]) -> set[Key]:
    """Take the keys that nobody took before."""
    rows = [
        {
            "principal": principal,
            "path": path,
            "key": key,
            "body_hash": draft.wanted.body_hash,
            "order_id": draft.order.id,
            "response": draft.response.decode(),
        }
        for (principal, path, key), draft in drafts.items()
    ]
    if not rows:
        return set()
    return {(row.principal, row.path, row.key) for row in connection.execute(_claim, {"keys": rows})}


def _find_keys(connection: Transaction, keys: Collection[Key]) -> dict[Key, tuple[str, Replayed]]:
    """The answers given earlier under these keys, and to which body."""
    if not keys:
        return {}
    known = [dict(zip(("principal", "path", "key"), key, strict=True)) for key in keys]
    return {
        (row.principal, row.path, row.key): (row.body_hash, Replayed(row.order_id, row.response.encode()))
        for row in connection.execute(_find, {"known": known})
    }


def _write(connection: Transaction, drafts: Sequence[_Draft], now: datetime, new_id: NewId) -> None:
    if not drafts:
        return
    new_orders = [
        {
            **vars(draft.order),
            "lines": json(draft.order.lines),
            "ship_to": json(draft.order.ship_to),
            "placed_at": timestamp(now),
        }
        for draft in drafts
    ]
    connection.execute(_add_orders, {"new_orders": new_orders})
    new_sagas = [{**saga_row(draft.held), "workflow_version": draft.held.flow.version} for draft in drafts]
    connection.execute(_add_sagas, {"new_sagas": new_sagas})
    append_history(connection, [entry for draft in drafts for entry in draft.held.entries])
    said = [
        enclose(message, at=now, new_id=new_id, traceparent=draft.wanted.traceparent)
        for draft in drafts
        for message in draft.said
    ]
    TABLES.outbox.add(connection, said, due_at=now)
