"""What is counted of messages, and the dead letters: each waits for a person, or has been worked again."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import Connection, String, cast, func, select

from order_service.cli.system.audit.reading import snapshot
from order_service.cli.system.audit.violations import Broken, Several, Violation
from shared.clock import DatabaseClock
from shared.database import Database
from shared.ids import first_id
from shared.messaging.durability.tables import Tables
from shared.service import services

REPLAYED_BY_NOW = timedelta(hours=1)  # a worker takes what is to be replayed within seconds, one after the other
AT_REST = ("suspect", "replayed", "discarded")  # a suspect is a message of which the broker has another copy
SHOWN = ("message_id", "producer", "type", "reason", "state", "replayed_as", "replayed_at")


@dataclass
class Messages:
    published: int = 0
    received: int = 0
    letters: int = 0
    unpublished: dict[str, Several] = field(default_factory=dict)  # ids by service, where there are any
    unworked: dict[str, Several] = field(default_factory=dict)  # ids, by the service that has not worked them
    made_good: dict[str, Several] = field(default_factory=dict)  # likewise lost, but replaced by a later message
    replaying: dict[str, Several] = field(default_factory=dict)  # letters that are being worked again


def check_letters(name: str, database: Database, messages: Messages) -> Iterator[Violation]:
    """The dead letters of one service; counts them in `messages`."""
    tables = services()[name].tables
    letters = tables.dead_letters.table.c
    with snapshot(database) as connection:
        oldest = first_id(DatabaseClock().now(connection) - REPLAYED_BY_NOW)
        count = select(func.count()).select_from(tables.dead_letters.table)
        messages.letters += int(connection.execute(count).scalar_one())
        lost = _lost(connection, tables)
        told = select(*(letters[each] for each in SHOWN)).where(
            letters.state.not_in(AT_REST) | letters.message_id.in_(lost)
        )
        for row in connection.execute(told).mappings():
            seen, about, replay = {f"{name}.dead_letters": dict(row)}, row["message_id"], row["replayed_as"]
            if row["state"] == "parked":
                yield Violation(Broken.DEAD_LETTER, about, f"in {name}: {row['reason']}", seen)
            elif row["state"] == "replaying" and replay and replay >= oldest:
                messages.replaying.setdefault(name, Several()).add(about)
            elif row["state"] == "replaying":
                yield Violation(Broken.REPLAYS_FOR_EVER, about, f"in {name}, and nobody has worked it", seen)
            else:
                yield Violation(Broken.REPLAY_LOST, about, f"in {name}, {row['state']} as {replay}", seen)


def _lost(connection: Connection, tables: Tables) -> set[str]:
    """The letters that were replayed under an id that was neither worked nor is a dead letter again; an inbox tells of
    them as long as it keeps ids."""
    letters, inbox = tables.dead_letters.table, tables.inbox.table
    again = letters.alias()
    oldest = select(func.min(inbox.c.received_at)).scalar_subquery()
    lost = select(letters.c.message_id).where(
        letters.c.state == "replayed",
        letters.c.replayed_at >= oldest,
        ~select(inbox.c.message_id).where(inbox.c.message_id == letters.c.replayed_as).exists(),
        ~select(again.c.state).where(again.c.message_id == cast(letters.c.replayed_as, String)).exists(),
    )
    return set(connection.execute(lost).scalars())
