"""Every message is accounted for: what one service published, another has worked or keeps as a dead letter."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from order_service.cli.system.audit.reading import snapshot
from shared.database import Database
from shared.messaging.durability.tables import Tables
from shared.messaging.envelope import Key
from shared.service import services


@dataclass
class Messages:
    published: int = 0
    unpublished: dict[str, list[str]] = field(default_factory=dict)  # ids by service, where there are any
    unworked: dict[str, list[str]] = field(default_factory=dict)  # ids, by the service that has not worked them
    made_good: dict[str, list[str]] = field(default_factory=dict)  # likewise lost, but replaced by a later message
    dead: dict[str, int] = field(default_factory=dict)  # parked letters by service


def read_messages(databases: Mapping[str, Database], ended: Collection[str]) -> Messages:
    """Follow every published message that is still kept to its destination; `ended` are the orders that need none."""
    messages = Messages()
    sent = {name: _sent(name, database, messages) for name, database in databases.items()}
    for name, database in databases.items():
        tables, handled = services()[name].tables, {kind.type for kind in services()[name].handlers}
        with snapshot(database) as connection:
            worked = _keys(connection, tables)
            parked = select(func.count()).where(tables.dead_letters.table.c.state == "parked")
            if dead := connection.execute(parked).scalar_one():
                messages.dead[name] = dead
        due = [
            (message_id, order_id, (producer, message_id) in worked)
            for producer, by_type in sent.items()
            for kind in handled
            for message_id, order_id in by_type.get(kind, ())
        ]
        last = {order_id: message_id for message_id, order_id, done in sorted(due) if done}
        missing = [(message_id, order_id) for message_id, order_id, done in due if not done]
        # What came later about the same order was worked, and the order has ended: it was asked anew, or undone.
        replaced = {id_ for id_, order_id in missing if order_id in ended and id_ < last.get(order_id, "")}
        if unworked := [message_id for message_id, _ in missing if message_id not in replaced]:
            messages.unworked[name] = unworked
        if replaced:
            messages.made_good[name] = sorted(replaced)
    return messages


def _sent(name: str, database: Database, messages: Messages) -> dict[str, list[tuple[str, str]]]:
    """The published messages by type: their ids and orders."""
    outbox = services()[name].tables.outbox.table.c
    sent: dict[str, list[tuple[str, str]]] = {}
    with snapshot(database) as connection:
        for kind, message_id, order_id, published in connection.execute(
            select(outbox.type, outbox.id, outbox.correlation_id, outbox.published_at.is_not(None))
        ):
            if published:
                sent.setdefault(kind, []).append((message_id, order_id))
                messages.published += 1
            else:
                messages.unpublished.setdefault(name, []).append(message_id)
    return sent


def _keys(connection: Connection, tables: Tables) -> set[Key]:
    """What is in the inbox or among the dead letters, by producer and id."""
    found: set[Key] = set()
    for table in (tables.inbox.table, tables.dead_letters.table):
        found.update((row[0], row[1]) for row in connection.execute(select(table.c.producer, table.c.message_id)))
    return found
