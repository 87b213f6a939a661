"""Every kind of violation, as statements that plant it and leave everything else as true as they can."""

from typing import NamedTuple

from sqlalchemy import Connection, select

from order_service.chain import BEGINNING, link
from order_service.cli.system.audit import Broken
from order_service.tables import saga_history, sagas
from shared.database import timestamp

RECHAIN = "write the chain of every history anew"  # as whoever can change a history can, too

DONE = "(SELECT max(id) FROM orders WHERE status = 'fulfilled')"
BACK = "(SELECT max(id) FROM orders WHERE reason = 'capture_refused')"
NOBODYS = "'00000000-0000-7000-8000-000000000000'"


class Planted(NamedTuple):
    broken: Broken
    changes: tuple[tuple[str, str], ...]  # statements, each with the service on whose database it runs


def planted(broken: Broken, service: str, *statements: str) -> Planted:
    return Planted(broken, tuple((service, statement) for statement in statements))


def history(broken: Broken, change: str) -> Planted:
    """A line of history is changed by somebody who knows how chains are made."""
    return planted(broken, "order", f"UPDATE saga_history SET {change}", RECHAIN)


def letter(state: str, replayed_as: str = "NULL", at: str = "NULL") -> str:
    return f"""INSERT INTO dead_letters (message_id, reason, state, type, version, producer, digest, correlation_id,
        occurred_at, content_type, body, size, drops, received_at, replayed_as, replayed_at)
        VALUES ('x', 'malformed', '{state}', 'x', 1, 'x', '', 'x', '2026-01-01', 'x', x'00', 1, 0, '2026-01-01',
        {replayed_as}, {at})"""


STEP = 'UPDATE sagas SET steps = replace(steps, \'"{0}":["{1}"\', \'"{0}":["{2}"\') WHERE order_id = {3}'
COPY = "INSERT INTO {0} SELECT {1} FROM {0} WHERE {2}"
LINES = "order_id, {}, at, event, message_id, {}, step, outcome, detail, did, from_status, to_status, position, hash"


def rechain(connection: Connection) -> None:
    """Write every history's chain anew, and each saga's last hash."""
    before: dict[str, str] = {}
    line, lines = saga_history.c, select(saga_history).order_by(saga_history.c.order_id, saga_history.c.seq)
    for row in connection.execute(lines).mappings().all():
        order_id, entry = row["order_id"], {**row, "at": timestamp(row["at"])}
        before[order_id] = link(before.get(order_id, BEGINNING), entry)
        this = (line.order_id == order_id) & (line.seq == row["seq"])
        connection.execute(saga_history.update().where(this).values(hash=before[order_id]))
    for order_id, last in before.items():
        connection.execute(sagas.update().where(sagas.c.order_id == order_id).values(history_hash=last))
