"""Every order was asked for once: one key leads to it, with the answer that was given."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from order_service.cli.system.audit.violations import Broken, Violation
from order_service.reconciliation.healing import ACTOR
from order_service.reconciliation.lost import NOBODY
from order_service.tables import idempotency_keys, orders, sagas

Row = Mapping[str, Any]
TABLE = "order.idempotency_keys"
LOOKED_AT = 100
SAME_WISH = timedelta(days=1)  # in which a client may send again what it has sent


def check_keys(
    connection: Connection, order: Row, facts: Row, placed_by: str | None, keys: Sequence[Row], oldest: str | None
) -> Iterator[Violation]:
    """`placed_by` is who placed the order by a history that can be trusted; `oldest` the first order whose key is still
    kept."""
    right = []
    for key in keys:
        if what := _misleads(order, facts, placed_by, key):
            yield Violation(Broken.KEY_MISLEADS, order["id"], what, {TABLE: _part(key)})
        else:
            right.append(_part(key))
    if len(right) > 1:
        yield Violation(Broken.TWO_KEYS, order["id"], f"{len(right)} keys lead to it", {TABLE: right})
    if placed_by and customer_of(placed_by) != order["customer_id"]:
        what = f"it is {order['customer_id']!r}'s, and was placed by {placed_by!r}"
        yield Violation(Broken.ORDER_CONTRADICTS, order["id"], what, {TABLE: right})
    forgotten = order["forgotten_at"] is not None or oldest is None or order["id"] < oldest
    if not keys and not forgotten and not _named_elsewhere(connection, order):
        twin = _twin(connection, order, facts)
        broken = Broken.TWICE_PLACED if twin else Broken.NOBODY_ASKED
        what = f"no key leads to it{f'; {twin} was placed for the same wish' if twin else ''}"
        yield Violation(broken, order["id"], what, {"order.orders": {"customer_id": order["customer_id"]}})


def customer_of(principal: str) -> str:
    """Whose the orders are that a principal places; those that the reconciliation finds again are nobody's."""
    return NOBODY if principal == ACTOR else principal.removeprefix("customer:")


def _misleads(order: Row, facts: Row, placed_by: str | None, key: Row) -> str:
    """Why this key cannot be the one under which the order was placed; empty when it can."""
    answer, who = msgspec.json.decode(key["response"]), key["principal"]
    if answer.get("id") != order["id"]:
        return f"its key {key['key']!r} was answered with order {answer.get('id')}"
    if placed_by not in (None, who) and customer_of(who) != order["customer_id"]:
        return f"it was placed by {placed_by!r}, and its key is {who!r}'s"
    if answer.get("total") not in (order["total"], facts["amount"]):
        return f"its key {key['key']!r} was answered with a total of {answer.get('total')}"
    return ""


def _named_elsewhere(connection: Connection, order: Row) -> bool:
    """Whether a key that leads elsewhere was answered with this order: that is told once, of the other."""
    said = idempotency_keys.c.response.startswith(f'{{"id":"{order["id"]}"')
    return connection.execute(select(idempotency_keys.c.key).where(said).limit(1)).first() is not None


def _twin(connection: Connection, order: Row, facts: Row) -> str | None:
    """Another order of the same customer, of the same things, for the same address and card, placed about then."""
    same = [orders.c[name] == order[name] for name in ("customer_id", "lines", "ship_to")]
    about_then = orders.c.placed_at.between(order["placed_at"] - SAME_WISH, order["placed_at"] + SAME_WISH)
    wanted = select(orders.c.id, sagas.c.facts).join(sagas, sagas.c.order_id == orders.c.id)
    for row in connection.execute(wanted.where(*same, about_then, orders.c.id != order["id"]).limit(LOOKED_AT)):
        if msgspec.json.decode(row.facts).get("payment_token") == facts["payment_token"]:
            return str(row.id)
    return None


def _part(key: Row) -> Row:
    return {name: key[name] for name in ("principal", "path", "order_id")}
