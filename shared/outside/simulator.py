"""A simulated outside world with a memory of its own: books that survive every crash of the service that asks it.

Each entry is written in the world's own transaction, the first one per idempotency key wins, and nobody but an auditor
reads the books, so they are the oracle for what really happened.
"""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from shared.clock import Clock, DatabaseClock
from shared.config import Settings
from shared.database import BigInt, Database, Duplicate, Id, Transaction, UtcDateTime, batch_rows, timestamp
from shared.database.grants import WEB_WRITES
from shared.outside.answers import Answer, Approved, Refused, Unreachable
from shared.values import Value


@dataclass(frozen=True, kw_only=True)
class Conduct:
    """How a simulated party behaves. `error_rate` is the share of calls whose answer is lost, half of them after the
    work was done; a party in `outage` does nothing and cannot be reached; an answer later than `timeout_ms` is lost."""

    latency_ms: int = 0
    error_rate: float = 0.0
    outage: bool = False
    timeout_ms: int = 2_000


def longest_wait(settings: Settings) -> int:
    """The most milliseconds for which an answer is waited for, whatever a party's conduct says."""
    return settings.longest_call // timedelta(milliseconds=1)


def conduct_from(settings: Settings) -> Conduct:
    """How all parties behave unless told otherwise at run time."""
    return Conduct(
        latency_ms=settings.network_latency_ms // timedelta(milliseconds=1),
        error_rate=settings.network_error_rate,
        outage=settings.network_outage,
        timeout_ms=settings.network_timeout // timedelta(milliseconds=1),
    )


class Inquiry(Value, frozen=True, kw_only=True):
    """One call: `key` is its idempotency key, `party` who is asked, `amount` in minor units where money is meant."""

    key: str
    party: str
    order_id: str
    kind: str
    amount: int = 0
    subject: str = ""  # what the answer depends on: a token, a country


Policy = Callable[[Inquiry, Mapping[str, bool]], Approved | Refused]
"""Decides an inquiry, given what that party approved or refused of the same order before, by kind."""


class SimulatedWorld:
    """The books and the conduct of all parties that one service deals with."""

    def __init__(self, metadata: MetaData, name: str) -> None:
        """Declares the tables `‹name›_books` and `simulation` in the service's metadata."""
        self.books = Table(
            f"{name}_books",
            metadata,
            Column("key", String(120), primary_key=True),
            Column("party", String(40), nullable=False),
            Column("order_id", Id, nullable=False),
            Column("kind", String(20), nullable=False),
            Column("amount", BigInt, nullable=False),
            Column("approved", Boolean, nullable=False),
            Column("text", Text, nullable=False),
            Column("askings", Integer, nullable=False),
            Column("at", UtcDateTime, nullable=False),
        )
        Index(f"ix_{name}_books_order_id", self.books.c.order_id)
        self.simulation = Table(
            "simulation",
            metadata,
            Column("party", String(40), primary_key=True),
            Column("latency_ms", Integer, nullable=False),
            Column("error_rate", Float, nullable=False),
            Column("outage", Boolean, nullable=False),
            Column("timeout_ms", Integer, nullable=False),
            info=WEB_WRITES,
        )
        self._conduct = select(self.simulation)
        books = self.books
        orders, entries, again = (
            batch_rows("orders", order_id=Id),
            batch_rows("entries", **{c.name: c.type for c in books.c}),
            batch_rows("again", key=String),
        )
        self.earlier = select(books).join(orders, books.c.order_id == orders.c.order_id)
        self.enter = insert(books).from_select([c.name for c in books.c], select(*entries.c))
        self.asked_again = books.update().where(books.c.key == again.c.key).values(askings=books.c.askings + 1)

    def conduct(self, connection: Transaction, default: Conduct) -> Callable[[str], Conduct]:
        """How each party behaves now: as set at run time, else by default."""
        found = {row["party"]: Conduct(**{k: v for k, v in row.items() if k != "party"})
                 for row in connection.execute(self._conduct).mappings()}  # fmt: skip
        return lambda party: found.get(party, default)

    def set_conduct(self, connection: Connection, party: str, conduct: Conduct) -> None:
        """From the next batch on, this party behaves so."""
        row = {"party": party, **vars(conduct)}
        statement = insert(self.simulation).values(row)
        connection.execute(statement.on_conflict_do_update(index_elements=["party"], set_=vars(conduct)))


class Simulator:
    """Answers inquiries for a service: all of a batch at once, as if each were called concurrently."""

    def __init__(
        self,
        world: SimulatedWorld,
        database: Database,
        clock: Clock,
        policy: Policy,
        default: Conduct,
        *,
        longest_wait: int | None = None,
        lost_once: Collection[str] = (),
        sleep: Callable[[float], None] = time.sleep,
        chance: random.Random | None = None,
    ) -> None:
        """Nobody is waited for longer than `longest_wait` milliseconds, however long the timeout that was set before.
        `lost_once` are subjects whose first answer, under each key, is lost on the way back."""
        self.lost_once, self.longest_wait = lost_once, longest_wait
        self.world, self.database, self.clock, self.policy, self.default = world, database, clock, policy, default
        self.sleep, self.chance = sleep, chance or random.Random()  # noqa: S311 - a simulation

    @classmethod
    def configured(
        cls,
        settings: Settings,
        world: SimulatedWorld,
        database: Database,
        policy: Policy,
        lost_once: Collection[str] = (),
    ) -> Self:
        """The one of a service's worker: behaves as the settings say, unless told otherwise at run time."""
        longest, conduct = longest_wait(settings), conduct_from(settings)
        return cls(world, database, DatabaseClock(), policy, conduct, longest_wait=longest, lost_once=lost_once)

    def ask(self, inquiries: Sequence[Inquiry]) -> dict[str, Answer]:
        """The answers that come back, by key. What is missing may or may not have been done."""
        with self.database.reading_batch() as connection:
            earlier = self._earlier_of(connection, inquiries)  # comes with the conduct, in one round trip
            conduct = self.world.conduct(connection, self.default)
            known = earlier.all()
        reached, lost, waits, away = [], set(), [0], dict[str, Answer]()
        for inquiry in inquiries:
            manner = conduct(inquiry.party)
            timeout = manner.timeout_ms if self.longest_wait is None else min(manner.timeout_ms, self.longest_wait)
            dice = self.chance.random()
            waits.append(min(manner.latency_ms, timeout))
            if manner.outage:
                away[inquiry.key] = Unreachable()
            elif dice >= manner.error_rate / 2:
                reached.append(inquiry)
                if dice < manner.error_rate or manner.latency_ms > timeout:
                    lost.add(inquiry.key)
        if longest := max(waits):
            self.sleep(longest / 1000)
            known = self._look_again(inquiries)
        for attempt in range(5):
            try:
                answers = self._enter_all(reached, known)
                break
            except Duplicate:  # the same key is being asked from elsewhere, whose entry wins
                if attempt == 4:
                    raise
                known = self._look_again(inquiries)
        return away | {key: answer for key, answer in answers.items() if key not in lost}

    def _earlier_of(self, connection: Transaction, inquiries: Sequence[Inquiry]) -> Any:
        orders = [{"order_id": each} for each in {each.order_id for each in inquiries}]
        return connection.execute(self.world.earlier, {"orders": orders})

    def _look_again(self, inquiries: Sequence[Inquiry]) -> list[Any]:
        with self.database.reading_batch() as connection:
            return list(self._earlier_of(connection, inquiries))

    def _enter_all(self, inquiries: Sequence[Inquiry], earlier: Sequence[Any]) -> dict[str, Approved | Refused]:
        """Decide and enter what is new, in a transaction of the world's own; raises Duplicate when it is not."""
        answers: dict[str, Approved | Refused] = {}
        entered: list[dict[str, Any]] = []
        again: list[dict[str, Any]] = []
        known = {row.key: (row.approved, row.text) for row in earlier}
        history = defaultdict[tuple[str, str], dict[str, bool]](dict)
        for row in earlier:
            history[row.order_id, row.party][row.kind] = row.approved
        with self.database.batch() as connection:
            now = timestamp(self.clock.now(connection))
            for inquiry in inquiries:
                answered = inquiry.key in known
                if answered:
                    again.append({"key": inquiry.key})
                else:
                    of_order = history[inquiry.order_id, inquiry.party]
                    entry = _entry(inquiry, self.policy(inquiry, of_order), now)
                    entered.append(entry)
                    of_order[inquiry.kind] = entry["approved"]
                    known[inquiry.key] = entry["approved"], entry["text"]
                if answered or inquiry.subject not in self.lost_once:
                    approved, text = known[inquiry.key]
                    answers[inquiry.key] = Approved(text) if approved else Refused(text)
            if entered:
                connection.execute(self.world.enter, {"entries": entered})
            if again:
                connection.execute(self.world.asked_again, {"again": again})
        return answers


def _entry(inquiry: Inquiry, answer: Approved | Refused, now: str) -> dict[str, Any]:
    return {
        "key": inquiry.key,
        "party": inquiry.party,
        "order_id": inquiry.order_id,
        "kind": inquiry.kind,
        "amount": inquiry.amount,
        "approved": isinstance(answer, Approved),
        "text": answer.reference if isinstance(answer, Approved) else answer.detail,
        "askings": 1,
        "at": now,
    }
