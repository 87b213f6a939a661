"""What the order service says happened: the side of the books that the others must agree with."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, func, select

from order_service.cli.system.audit.money import Amounts
from order_service.cli.system.audit.reading import OrderId, Violation
from order_service.fulfillment.decide import ACTED
from order_service.fulfillment.inputs import SettlementRequested
from order_service.fulfillment.saga import OrderStatus
from order_service.fulfillment.workflow import amounts
from order_service.tables import orders, saga_history, sagas

_lines = msgspec.json.Decoder(list[dict[str, str | int]])
_facts = msgspec.json.Decoder(dict[str, Any])


class Order(NamedTuple):
    status: OrderStatus
    total: int
    lines: dict[str, int]  # quantity by sku
    amounts: Amounts  # as the customer is told
    carrier: str | None
    tracking_number: str | None
    settled: frozenset[str] = frozenset()  # steps that an operator has seen to by hand
    needs_attention: bool = False


@dataclass
class Orders:
    orders: dict[OrderId, Order] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    currency: str = ""
    violations: list[Violation] = field(default_factory=list)


def read_orders(connection: Connection) -> Orders:
    """Every order as its customer sees it, and where an order and its history disagree."""
    found, settled = Orders(), _settled_by_hand(connection)
    standing = orders.c.status, orders.c.needs_attention
    wanted = select(orders.c.id, *standing, orders.c.total, orders.c.currency, orders.c.lines, sagas.c.facts)
    for order_id, status, needs_attention, total, currency, lines, text in connection.execute(
        wanted.join(sagas, sagas.c.order_id == orders.c.id)
    ):
        facts = _facts.decode(text)
        found.orders[order_id] = Order(
            status=OrderStatus(status),
            total=total,
            lines={str(each["sku"]): int(each["quantity"]) for each in _lines.decode(lines)},
            amounts=Amounts(**amounts(facts)),
            carrier=facts.get("carrier"),
            tracking_number=facts.get("tracking_number"),
            settled=settled.get(order_id, frozenset()),
            needs_attention=needs_attention,
        )
        found.statuses[status] += 1
        found.currency = currency
    found.violations = list(_gaps(connection))
    return found


def _settled_by_hand(connection: Connection) -> dict[OrderId, frozenset[str]]:
    history = saga_history.c
    wanted = select(history.order_id, history.step).where(
        history.event == SettlementRequested.type, history.outcome == ACTED
    )
    settled: dict[OrderId, frozenset[str]] = {}
    for order_id, step in connection.execute(wanted):
        settled[order_id] = settled.get(order_id, frozenset()) | {step}
    return settled


def _gaps(connection: Connection) -> Iterator[Violation]:
    """The history of each order begins with 1, has no gaps, ends with its version, and says its status."""
    last = saga_history.alias()
    counted = (
        select(saga_history.c.order_id, func.count().label("entries"), func.max(saga_history.c.seq).label("last"))
        .group_by(saga_history.c.order_id)
        .subquery()
    )
    histories = (
        select(orders.c.id, orders.c.status, sagas.c.version, counted.c.entries, counted.c.last, last.c.to_status)
        .join(sagas, sagas.c.order_id == orders.c.id)
        .outerjoin(counted, counted.c.order_id == orders.c.id)
        .outerjoin(last, (last.c.order_id == orders.c.id) & (last.c.seq == counted.c.last))
    )
    whole = (counted.c.entries == counted.c.last) & (sagas.c.version == counted.c.last)
    wrong = ~func.coalesce(whole & (last.c.to_status == orders.c.status), False)
    for order_id, status, version, entries, seq, to_status in connection.execute(histories.where(wrong)):
        what = f"{status} in version {version}, but {entries} entries of history up to {seq} end with {to_status}"
        yield Violation("order", order_id, what)
