"""Every message is accounted for, both ways: what one service said, another has worked or keeps as a dead letter; and
what is in an inbox was said. Read a page of message ids at a time."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from order_service.cli.system.audit.letters import Messages, check_letters
from order_service.cli.system.audit.reading import Databases, Span, rows, snapshot
from order_service.cli.system.audit.violations import Broken, Several, Violation
from order_service.fulfillment.saga import OrderStatus
from order_service.tables import orders
from shared.database import Database
from shared.ids import first_id
from shared.service import services

FINAL = [status.value for status in OrderStatus if status.final]


@dataclass(frozen=True)
class Said:
    id: str
    type: str
    order_id: str
    published: bool


def check_messages(databases: Databases, messages: Messages, page: int) -> Iterator[Violation]:
    """Follow all messages that are still kept, `page` at a time; counts them in `messages`."""
    for producer in databases:
        kept_since = _kept_since(producer, databases[producer])
        span: Span | None = Span()
        while span:
            said, span, following = _said(producer, databases[producer], span, page, messages)
            for consumer in databases:
                yield from _account(databases, producer, consumer, said, span, kept_since, messages)
            span = following
    for name, database in databases.items():
        yield from _strange_producers(name, database)
        yield from check_letters(name, database, messages)


def _kept_since(producer: str, database: Database) -> str | None:
    """From which id on every message of the service is still in its outbox; None when nothing can be said."""
    outbox = services()[producer].tables.outbox.table.c
    with snapshot(database) as connection:
        oldest: datetime | None = connection.execute(select(func.min(outbox.published_at))).scalar()
    return first_id(oldest) if oldest else None


def _said(
    producer: str, database: Database, span: Span, page: int, messages: Messages
) -> tuple[list[Said], Span, Span | None]:
    """A page of the outbox, the span of ids that it covers, and the span that follows it."""
    outbox = services()[producer].tables.outbox.table.c
    columns = outbox.id, outbox.type, outbox.correlation_id, outbox.published_at.is_not(None)
    with snapshot(database) as connection:
        found = connection.execute(select(*columns).where(span.holds(outbox.id)).order_by(outbox.id).limit(page))
        said = [Said(*row) for row in found]
    for each in said:
        if each.published:
            messages.published += 1
        else:
            messages.unpublished.setdefault(producer, Several()).add(each.id)
    more = len(said) == page
    covered = Span(span.behind, said[-1].id if more else None)
    return said, covered, Span(said[-1].id) if more else None


def _account(
    databases: Databases,
    producer: str,
    consumer: str,
    said: Sequence[Said],
    span: Span,
    kept_since: str | None,
    messages: Messages,
) -> Iterator[Violation]:
    handled = {kind.type for kind in services()[consumer].handlers}
    tables = services()[consumer].tables
    inbox, letters = tables.inbox.table.c, tables.dead_letters.table.c
    with snapshot(databases[consumer]) as connection:
        received = {
            row.message_id: row.digest
            for row in connection.execute(
                select(inbox.message_id, inbox.digest).where(span.holds(inbox.message_id), inbox.producer == producer)
            )
        }
        dead = connection.execute(
            select(letters.message_id).where(span.holds(letters.message_id), letters.producer == producer)
        )
        worked = received.keys() | set(dead.scalars())
    messages.received += len(received)
    missing = [each for each in said if each.published and each.type in handled and each.id not in worked]
    _sort(databases, consumer, missing, messages)
    known = {each.id for each in said}
    # Without a digest it is from before producers were known, and counts as from each of them.
    ghosts = [
        id_ for id_, digest in received.items() if id_ not in known and digest and kept_since and id_ >= kept_since
    ]
    yield from _ghosts(databases, producer, consumer, ghosts)


def _sort(databases: Databases, consumer: str, missing: Sequence[Said], messages: Messages) -> None:
    """What nobody has worked is under way, or it was lost and made good: the order has ended, and of what was said
    later about it something was worked (it was asked anew, or undone)."""
    if not missing:
        return
    ended = _ended(databases["order"], {each.order_id for each in missing})
    last = _last_worked(databases, consumer, ended) if ended else {}
    for each in missing:
        lost = each.id < last.get(each.order_id, "")
        where = messages.made_good if lost else messages.unworked
        where.setdefault(consumer, Several()).add(each.id)


def _ended(database: Database, order_ids: Collection[str]) -> set[str]:
    with snapshot(database) as connection:
        wanted = select(orders.c.id).where(orders.c.id.in_(order_ids), orders.c.status.in_(FINAL))
        return set(connection.execute(wanted).scalars())


def _last_worked(databases: Databases, consumer: str, order_ids: Collection[str]) -> dict[str, str]:
    """The last message about each of these orders that the service has worked. (No index finds them: it is asked only
    when something is missing.)"""
    handled = {kind.type for kind in services()[consumer].handlers}
    inbox, last = services()[consumer].tables.inbox.table.c, dict[str, str]()
    for producer, database in databases.items():
        outbox = services()[producer].tables.outbox.table.c
        with snapshot(database) as connection:
            wanted = select(outbox.id, outbox.correlation_id).where(
                outbox.correlation_id.in_(order_ids), outbox.type.in_(handled)
            )
            said = {row.id: row.correlation_id for row in connection.execute(wanted)}
        with snapshot(databases[consumer]) as connection:
            worked = select(inbox.message_id).where(inbox.message_id.in_(said), inbox.producer == producer)
            for id_ in connection.execute(worked).scalars():
                last[said[id_]] = max(id_, last.get(said[id_], ""))
    return last


def _ghosts(databases: Databases, producer: str, consumer: str, suspects: Collection[str]) -> Iterator[Violation]:
    """Those that were not said meanwhile either, and are no replays of dead letters."""
    if not suspects:
        return
    outbox, tables = services()[producer].tables.outbox.table.c, services()[consumer].tables
    with snapshot(databases[producer]) as connection:
        said = set(connection.execute(select(outbox.id).where(outbox.id.in_(suspects))).scalars())
    replayed_as = tables.dead_letters.table.c.replayed_as
    with snapshot(databases[consumer]) as connection:
        said |= set(connection.execute(select(replayed_as).where(replayed_as.in_(suspects))).scalars())
        inbox = tables.inbox.table
        for row in rows(connection, select(inbox).where(inbox.c.message_id.in_(set(suspects) - said))):
            what = f"worked by {consumer}, and {producer} never said it"
            yield Violation(Broken.GHOST, row["message_id"], what, {f"{consumer}.inbox": row})


def _strange_producers(name: str, database: Database) -> Iterator[Violation]:
    """What was worked is from a service that there is."""
    inbox = services()[name].tables.inbox.table
    with snapshot(database) as connection:
        for row in connection.execute(select(inbox).where(inbox.c.producer.not_in(services()))).mappings():
            what = f"worked by {name}, and said by {row['producer']!r}, which is no service"
            yield Violation(Broken.GHOST, row["message_id"], what, {f"{name}.inbox": dict(row)})
