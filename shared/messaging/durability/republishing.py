"""Publishing again what was published: for a broker that lost its data, or a queue that somebody emptied."""

from datetime import datetime

from sqlalchemy import bindparam, select, update

from shared.clock import Clock
from shared.database import Database, Id, UtcDateTime
from shared.messaging.durability.outbox import Outbox

AT_A_TIME = 500
FIRST = "00000000-0000-0000-0000-000000000000"


def republish(outbox: Outbox, database: Database, clock: Clock, since: datetime) -> int:
    """Have the workers publish again, under the same ids, all that was confirmed at or after `since` and is still
    kept; returns how many messages. Safe to repeat, and while the system runs: every inbox knows what it has worked.

    One transaction for each few hundred rows: a crash in between leaves the rest as it was, to be asked for again.
    """
    rows = outbox.table
    page = (
        select(rows.c.id)
        .where(rows.c.id > bindparam("after", type_=Id), rows.c.published_at >= bindparam("since", type_=UtcDateTime))
        .order_by(rows.c.id)
        .limit(AT_A_TIME)
    )
    again = (
        update(rows)
        .where(rows.c.id.in_(page.scalar_subquery()))
        .values(published_at=None, due_at=bindparam("now", type_=UtcDateTime))
        .returning(rows.c.id)
    )
    count, after = 0, FIRST
    while True:
        with database.transaction() as connection:
            named = {"after": after, "since": since, "now": clock.now(connection)}
            ids = connection.execute(again, named).scalars().all()
        if not ids:
            return count
        count, after = count + len(ids), max(ids)
