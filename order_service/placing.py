"""Placing orders, many in one transaction: the key that makes each unique, the order, its saga, its first messages."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from order_service.catalog import find_products
from order_service.domain import NewOrder, Product, price
from order_service.fulfillment.inputs import OrderPlaced
from order_service.idempotency import Answer, Key, claim_keys, find_answers
from order_service.sagas import Held, Sagas
from order_service.store import add_orders
from order_service.tables import TABLES
from order_service.terms import Terms
from order_service.view import Order, as_bytes, order_row, order_view
from shared.contracts import Event
from shared.database import Transaction
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


@dataclass(frozen=True)
class TooMany:
    """The customer has as many orders under way as allowed; nothing was placed."""


Outcome = Placed | Mismatch | NotSold | TooMany
Products = Mapping[str, Product]  # by sku


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """An order on its way in, as far as it can be known before its key is."""

    wanted: NewOrder
    held: Held
    order: Order
    messages: tuple[Event, ...]
    answer: Answer


def place(
    connection: Transaction,
    now: datetime,
    wanted: Sequence[NewOrder],
    terms: Terms,
    new_id: NewId = uuid7,
    let_in: Callable[[str], bool] = lambda customer_id: True,
) -> list[Outcome]:
    """Place a group of orders; answers in their order. Their first messages are in the outbox, due at once.

    `let_in` says whether a customer may have one more order. The same key twice, in the group or in an earlier
    transaction, is one order. Waits for another transaction that is placing one of these keys this instant, as long as
    the database's lock timeout allows.
    """
    products = find_products(connection, {wish.sku for each in wanted for wish in each.lines})
    drafts: dict[Key, _Draft] = {}
    kept_out: set[Key] = set()
    for each in wanted:
        if _key(each) in drafts or _unsold(each, products):
            continue
        if let_in(each.customer_id):
            drafts[_key(each)] = _draft(each, products, terms, now, new_id(now))
        else:
            kept_out.add(_key(each))
    claimed = claim_keys(connection, {key: draft.answer for key, draft in drafts.items()})
    earlier = find_answers(connection, {_key(each) for each in wanted} - claimed)
    new = {key: draft for key, draft in drafts.items() if key in claimed}
    _write(connection, list(new.values()), now, new_id)
    return [
        TooMany()
        if _key(each) in kept_out and _key(each) not in earlier
        else _outcome(each, new.get(_key(each)), earlier.get(_key(each)), products)
        for each in wanted
    ]


def _key(order: NewOrder) -> Key:
    return Key(order.principal, order.path, order.key)


def _unsold(order: NewOrder, products: Products) -> tuple[int, ...]:
    return tuple(index for index, wish in enumerate(order.lines) if wish.sku not in products)


def _draft(wanted: NewOrder, products: Products, terms: Terms, now: datetime, order_id: str) -> _Draft:
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
        saga=held.saga,
        workflow_version=terms.flow.version,
        version=held.version,
        updated_at=now,
    )
    answer = Answer(wanted.body_hash, order_id, as_bytes(order_view(order, terms.flow)))
    return _Draft(wanted=wanted, held=held, order=order, messages=decision.messages, answer=answer)


def _write(connection: Transaction, drafts: Sequence[_Draft], now: datetime, new_id: NewId) -> None:
    add_orders(connection, [order_row(draft.order) for draft in drafts])
    Sagas(connection, now, [draft.held for draft in drafts]).flush()
    envelopes = [
        enclose(message, at=now, new_id=new_id, traceparent=draft.wanted.traceparent)
        for draft in drafts
        for message in draft.messages
    ]
    TABLES.outbox.add(connection, envelopes, due_at=now)


def _outcome(wanted: NewOrder, draft: _Draft | None, earlier: Answer | None, products: Products) -> Outcome:
    answer = draft.answer if draft else earlier
    if answer is None:
        return NotSold(_unsold(wanted, products))
    if answer.body_hash != wanted.body_hash:
        return Mismatch()
    kind = Placed if draft and draft.wanted is wanted else Replayed
    return kind(answer.order_id, answer.response)
