"""One round of the reconciliation: look at what may differ, ask the participants, heal, and go on from there next time.

What is looked at: orders under way that have not moved for a while; orders that have ended since the last round; and
what each participant, or a dead letter, knows of orders that there are not. A participant that does not answer differs
in nothing: what waits for it is looked at again.

Two at once do each other no harm: an order that has moved since it was compared is left alone, and a mark that somebody
else has moved stays. A crash leaves what was committed, and the rest to the next round.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from order_service.fulfillment.differences import Healing
from order_service.participants import PATHS, NoAnswer, Saying, compare, stages
from order_service.reconciliation.healing import Compared, Healed, heal
from order_service.reconciliation.lost import find_again
from order_service.reconciliation.reading import (
    AT_A_TIME,
    changed_since,
    ended_since,
    is_old,
    known_orders,
    mark,
    move_mark,
    standing_still,
    unknown_in_letters,
)
from order_service.tables import TABLES
from order_service.terms import Flows, Terms, flow_of
from order_service.view import Order
from shared.clock import Clock
from shared.database import Database, retried
from shared.ids import FIRST, NewId, made_at, uuid7
from shared.messaging.notifier import Notifier

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
LETTERS = 200  # looked at in one round


class Source(Protocol):
    """Where it is asked what participants know."""

    def ask_of(self, order_ids: Collection[str]) -> Mapping[str, Sequence[Saying]]:
        """What each says of each of at most AT_A_TIME orders."""

    def known_to(self, service: str, since: datetime) -> Iterator[Sequence[Mapping[str, Any]]]:
        """In pages, what one knows of orders placed at `since` or later. Raises NoAnswer."""


@dataclass(kw_only=True)
class Report:
    """What one round saw and did."""

    looked_at: int = 0
    healed: list[Healed] = field(default_factory=list)
    found_again: list[str] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)

    @property
    def by_meaning(self) -> Counter[str]:
        return Counter(each.difference.meaning for each in self.healed if each.difference.healing != Healing.PERSON)

    @property
    def for_a_person(self) -> list[Healed]:
        return [each for each in self.healed if each.difference.healing is Healing.PERSON]


@dataclass(kw_only=True)
class Reconciler:
    """Looks, compares and heals.

    Of what has ended, and of each participant's work, a round looks at about `most` at a time, and the next goes on.
    `rest` is told how many were looked at, and says whether to stop.
    """

    database: Database
    flows: Flows
    terms: Terms
    clock: Clock
    notifier: Notifier
    source: Source
    grace: timedelta
    most: int = 10**9
    new_id: NewId = uuid7
    rest: Callable[[int], bool] = lambda count: False

    def round(self, since: datetime | None = None) -> Report:
        """Look at all that may differ; with `since`, at all orders that have changed since then, too. Raises
        TransientError when the database is away."""
        report = Report()
        if since is not None:
            self._walk(lambda connection, before, after: changed_since(connection, since, before, after), report)
        self._walk(standing_still, report)
        self._look_at_ended(report)
        for service in PATHS:
            self._look_at_work(service, report, since)
        self._look_at_letters(report)
        return report

    def _walk(self, read: Callable[[Any, datetime, str], list[Order]], report: Report) -> None:
        after = FIRST
        while True:
            with self.database.reading() as connection:
                page = read(connection, self._before(connection), after)
            if not page:
                return
            self._look(page, report)
            after = page[-1].id
            if self.rest(len(page)):
                return

    def _look_at_ended(self, report: Report) -> None:
        """The mark goes on only when all participants have answered."""
        with self.database.reading() as connection:
            position = mark(connection, "ended")
        left = self.most
        while left > 0:
            with self.database.reading() as connection:
                found = ended_since(connection, position, self._before(connection))
            if found.position == position:
                return
            pages = [found.orders[n : n + AT_A_TIME] for n in range(0, len(found.orders), AT_A_TIME)]
            if not min([self._look(page, report) for page in pages], default=True):
                return
            self._move("ended", position, found.position)
            left -= len(found.orders)
            if found.whole or self.rest(len(found.orders)):
                return
            position = found.position

    def _look(self, orders: Sequence[Order], report: Report) -> bool:
        """Compare these orders, and heal them; says whether all participants have answered."""
        sayings = self.source.ask_of([each.id for each in orders])
        compared = []
        for order in orders:
            flow = flow_of(self.flows, order.id, order.workflow_version)
            said = compare(flow, order.saga, sayings[order.id])
            report.silent |= {each.service for each in said if each.status is None}
            if differences := [difference for each in said for difference in each.differences]:
                compared.append(Compared(order_id=order.id, version=order.version, differences=differences))
        report.looked_at += len(orders)
        if compared:
            report.healed += retried(lambda: self._heal(compared))
            self.notifier.notify()
        return not any(each.status is None for said in sayings.values() for each in said)

    def _heal(self, compared: Sequence[Compared]) -> list[Healed]:
        with self.database.transaction() as connection:
            return heal(connection, compared, self.flows, self.clock.now(connection), self.new_id)

    def _look_at_work(self, service: str, report: Report, since: datetime | None) -> None:
        """Of one participant's work, what no order asked for. The mark goes on to what is still too young."""
        with self.database.reading() as connection:
            position, before = mark(connection, service), self._before(connection)
        begin = min(filter(None, (since, BEGINNING + timedelta(milliseconds=position))))
        left = self.most
        try:
            for page in self.source.known_to(service, begin):
                old = [each["order_id"] for each in page if is_old(each["order_id"], before)]
                if not self._find_again(old, report):
                    return
                if old and (reached := made_at(old[-1])) > position:
                    self._move(service, position, reached)
                    position = reached
                left -= len(page)
                if len(old) < len(page) or left <= 0 or self.rest(len(page)):
                    return
        except NoAnswer:
            report.silent.add(service)

    def _move(self, name: str, before: int, after: int) -> None:
        with self.database.transaction() as connection:
            move_mark(connection, name, before, after)

    def _look_at_letters(self, report: Report) -> None:
        """What was heard of orders that were not known then is worked again, as soon as they are."""
        with self.database.reading() as connection:
            letters = unknown_in_letters(connection, self._before(connection), LETTERS)
        if letters:
            self._find_again(list(letters), report)
            with self.database.transaction() as connection:
                known = known_orders(connection, letters)
                ids = [message_id for order_id in known for message_id in letters[order_id]]
                now = self.clock.now(connection)
                TABLES.dead_letters.replay(connection, ids, now=now, new_id=self.new_id)
            self.notifier.notify()

    def _find_again(self, order_ids: Sequence[str], report: Report) -> bool:
        """Find those of these orders again that are lost; says whether all participants have answered of them."""
        with self.database.reading() as connection:
            missing = sorted(set(order_ids) - known_orders(connection, order_ids))
        if not missing:
            return True
        sayings = {each: said for each, said in self.source.ask_of(missing).items() if stages(said) is not None}
        if sayings:
            report.found_again += retried(lambda: self._make_again(sayings))
            self.notifier.notify()
        return len(sayings) == len(missing)

    def _make_again(self, sayings: Mapping[str, Sequence[Saying]]) -> list[str]:
        with self.database.transaction() as connection:
            return find_again(connection, sayings, self.terms, self.clock.now(connection), self.new_id)

    def _before(self, connection: Any) -> datetime:
        return self.clock.now(connection) - self.grace
