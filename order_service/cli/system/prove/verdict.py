"""After everything has ended: is what was kept what was told, and do all the books add up?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Table, func, literal, select

from order_service.cli.system.audit import audit_at_rest
from order_service.cli.system.prove.ledger import Ledger
from order_service.tables import idempotency_keys, orders, saga_history
from shared.database import Database
from shared.service import services

SETTLING = 60.0  # seconds until all that was said has been heard
ASKED_AGAIN, UNDONE = " again, attempt", ' compensating"'  # as histories have it, in JSON


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is wrong, and how much the system did so that it is not more."""

    violations: list[str]
    messages: int
    duplicates: int
    retries: int
    compensations: int
    made_good: int


def judge(databases: Mapping[str, Database], ledger: Ledger) -> Verdict:
    """Hold together what customers were told and what is kept, and all the books of all services."""
    found = audit_at_rest(databases, SETTLING)
    wrong = [*ledger.violations, *not_as_told(databases["order"], ledger)]
    wrong += [f"not at rest: {each}" for each in found.under_way]
    wrong += [str(each) for each in found.violations]
    return Verdict(
        violations=wrong,
        messages=found.messages.published,
        duplicates=sum(_again(database, services()[name].tables.inbox.table) for name, database in databases.items()),
        retries=_times(databases["order"], ASKED_AGAIN),
        compensations=_times(databases["order"], UNDONE),
        made_good=sum(each.count for each in found.messages.made_good.values()),
    )


def not_as_told(database: Database, ledger: Ledger) -> Iterator[str]:
    with database.reading() as connection:
        kept = {row.id: row for row in connection.execute(select(orders.c.id, orders.c.status, orders.c.reason))}
        wanted = select(idempotency_keys.c.key, idempotency_keys.c.order_id)
        keys = {row.key: row.order_id for row in connection.execute(wanted)}
    for wish in ledger.wishes.values():
        about = f"{wish.fate.name} {wish.order_id or wish.key}"
        if not wish.has_ended:
            yield f"an order did not end: {about}: {wish.status or 'it was never answered'}"
        if wish.order_id and wish.order_id not in kept:
            yield f"an order that was promised is missing: {about}: it is not in the database"
        elif (
            wish.has_ended
            and (found := kept[wish.order_id])
            and (found.status, found.reason)
            != (
                wish.status,
                wish.seen["reason"],
            )
        ):
            yield f"kept otherwise than told: {about}: {wish.status}, but {found.status} is kept"
        if wish.order_id and keys.get(wish.key) != wish.order_id:
            yield f"a key that leads elsewhere: {about}: {keys.get(wish.key)}"
    wished = {wish.key for wish in ledger.wishes.values()}
    for order_id in kept.keys() - {order_id for key, order_id in keys.items() if key in wished}:
        yield f"an order that nobody asked for: {order_id}"


def _again(database: Database, inbox: Table) -> int:
    """How many deliveries were dropped because the message was known."""
    return _sum(database, inbox.c.deliveries - 1, inbox)


def _times(database: Database, what: str) -> int:
    """How often orders wrote into their history that they did this."""
    text = saga_history.c.did
    times = (func.length(text) - func.length(func.replace(text, what, ""))) // literal(len(what))
    return _sum(database, times, saga_history)


def _sum(database: Database, amount: ColumnElement[int], table: Table) -> int:
    with database.reading() as connection:
        return int(connection.execute(select(func.coalesce(func.sum(amount), 0)).select_from(table)).scalar_one())


def histories(database: Database, order_ids: Sequence[str]) -> dict[str, list[dict[str, object]]]:
    """All that happened to these orders, line by line."""
    columns = [saga_history.c[name] for name in ("seq", "at", "event", "step", "outcome", "did", "to_status")]
    found: dict[str, list[dict[str, object]]] = {}
    with database.reading() as connection:
        for order_id in order_ids:
            wanted = select(*columns).where(saga_history.c.order_id == order_id).order_by(saga_history.c.seq)
            found[order_id] = [row._asdict() for row in connection.execute(wanted)]
    return found
