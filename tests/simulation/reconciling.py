"""The reconciliation, at random moments: in a process that may die, asking participants that may not answer."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from order_service.fulfillment.parts import NOTHING
from order_service.participants import NoAnswer, Saying
from order_service.reconciliation.reconciler import Reconciler, Report
from shared.database import TransientError
from shared.ids import first_id
from tests.simulation.ports import Crash

if TYPE_CHECKING:
    from tests.simulation.world import World

TABLES = {"payment": "payments", "inventory": "reservations", "shipping": "shipments"}
GRACE = timedelta(seconds=20)
SHARE = 0.4  # of the worlds where anything goes wrong


class Reconciliation:
    """A process that takes some rounds. Its dice are its own: worlds without it are the same as ever."""

    name, service = "reconciliation", "order"

    def __init__(self, world: "World") -> None:
        self.world, self.chance = world, Random(f"reconciliation {world.seed}")
        people = world.people
        self.reconciler = Reconciler(
            database=world.databases["order"],
            flows={people.terms.flow.version: people.terms.flow},
            terms=people.terms,
            clock=world.clocks["order"],
            notifier=people.notifier,
            source=self,
            grace=GRACE,
            new_id=world.new_id,
        )
        if world.weather.name != "calm" and self.chance.random() < SHARE:
            for _ in range(self.chance.choice((1, 3, 10))):
                world.at(self.chance.uniform(0.0, 1.5 * max(world.weather.until, 60.0)), self._round)

    def _round(self) -> None:
        self.world.acting.append(self)
        try:
            self._tell(self.reconciler.round())
        except (Crash, TransientError):
            self.world.note(self.name, "does not get to its end")
        finally:
            self.world.acting.remove(self)

    def _tell(self, report: Report) -> None:
        self.world.note(self.name, f"has looked at {report.looked_at} orders")
        for each in report.healed:
            order = self.world.people.name(each.order_id)
            self.world.note(self.name, f"{each.difference.healing} of {order}: {each.difference.detail}")

    def ask_of(self, order_ids: Collection[str]) -> Mapping[str, Sequence[Saying]]:
        """What each participant's database says now; others go on in between."""
        answers = [self._answers(service, order_ids) for service in TABLES]
        return {each: [answer[each] for answer in answers] for each in order_ids}

    def _answers(self, service: str, order_ids: Collection[str]) -> Mapping[str, Saying]:
        if self.chance.random() < 0.5:
            self.world.others_go_on(self.chance.choice((0.0, 1.0)))
        if self.chance.random() < 0.1:
            return {each: Saying(service=service, status=None, error="it is away") for each in order_ids}
        known = {row["order_id"]: row for row in self._rows(service, "0")}
        return {
            each: Saying(service=service, status=known[each]["status"], document=known[each])
            if each in known
            else Saying(service=service, status=NOTHING)
            for each in order_ids
        }

    def known_to(self, service: str, since: datetime) -> Iterator[Sequence[Mapping[str, Any]]]:
        if self.chance.random() < 0.1:
            raise NoAnswer("it is away")
        yield self._rows(service, first_id(since))

    def _rows(self, service: str, first: str) -> list[dict[str, Any]]:
        query = f"SELECT * FROM {TABLES[service]} WHERE order_id >= ? ORDER BY order_id"
        found = self.world.databases[service].raw.execute(query, (first,))
        names = [column[0] for column in found.description]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        for row in rows if service == "inventory" else ():
            row["lines"] = [
                {"sku": sku, "quantity": quantity} for sku, quantity in msgspec.json.decode(row["lines"]).items()
            ]
        return rows
