"""Eight defects, each a small change of the real code that must be found, so that silence means something."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from sqlalchemy import Connection

from inventory_service.handlers import release, reserve
from inventory_service.store import Reservations
from order_service.fulfillment.saga import Step, StepStatus, Workflow
from order_service.fulfillment.workflow import WORKFLOWS
from order_service.sagas import Sagas
from order_service.timers import due
from shared.contracts import StockReleased, StockReleaseRequested, StockRequested
from shared.database import Transaction
from shared.messaging.broker import Connection as Port
from shared.messaging.broker import Delivery
from shared.messaging.calls import Batch, Request
from shared.messaging.consumer import Consumer
from shared.messaging.envelope import Envelope, Key
from shared.messaging.handling import Answers, Handling
from shared.messaging.worker import Worker


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """What is different in a world: by default nothing is."""

    name: str = "sound"
    worker: type[Worker] = Worker
    consumer: type[Consumer] = Consumer
    handling: Callable[[str, Handling], Handling] = lambda service, handling: handling
    flow: Callable[[Workflow], Workflow] = lambda flow: flow


SOUND = Mutant()


# 1. A participant forgets that it was told to undo what it had not done yet.


def release_without_tombstone(request: StockReleaseRequested, reservations: Reservations) -> Any:
    if reservations.find(request.order_id) is None:
        return StockReleased(order_id=request.order_id)
    return release(request, reservations)


def without_tombstones(service: str, handling: Handling) -> Handling:
    if service != "inventory":
        return handling
    return replace(handling, handlers={**handling.handlers, StockReleaseRequested: release_without_tombstone})


# 2. A message is acknowledged before its work is committed.


class HastyWorker(Worker):
    def _work(self, connection: Port, batch: Sequence[Delivery], *then: Any, **more: Any) -> None:
        connection.acknowledge(batch)
        super()._work(connection, batch, *then, **more)


# 3. Both walls against repetition are down: the inbox lets everything in, and the row is not looked at.


class ForgetfulConsumer(Consumer):
    def _fresh(self, connection: Transaction, batch: Batch, taken: Iterable[Key]) -> tuple[Sequence[Request], Any]:
        super()._fresh(connection, batch, taken)
        return batch.requests, ()


def reserve_again(request: StockRequested, reservations: Reservations) -> Any:
    reservations._after.pop(request.order_id, None)
    return reserve(request, reservations)


def without_memory(service: str, handling: Handling) -> Handling:
    if service != "inventory":
        return handling
    return replace(handling, handlers={**handling.handlers, StockRequested: reserve_again})


# 4. A join goes on as soon as one of the steps that it waits for has settled.


def joining_on_any(flow: Workflow) -> Workflow:
    return replace(flow, steps=tuple(replace(step, after=step.after[:1]) for step in flow.steps))


def by(changed: Callable[[Workflow], Workflow]) -> Callable[[str, Handling], Handling]:
    """The order service's handling by a changed workflow."""

    def handling(service: str, handling: Handling) -> Handling:
        if service != "order":
            return handling
        flows = {version: changed(flow) for version, flow in WORKFLOWS.items()}

        def load(connection: Connection, facts: Sequence[Any], now: datetime, answers: Answers) -> Sagas:
            return Sagas.load(connection, {fact.order_id for fact in facts}, flows, now)

        return replace(handling, load=load, due=lambda connection, now, most: due(connection, flows, now, most))

    return handling


# 5. A message counts as published as soon as it is handed over, whatever the broker says.


class TrustingWorker(Worker):
    def _publish(self, envelopes: Sequence[Envelope]) -> None:
        super()._publish(envelopes)
        self.confirmed += [each.id for each in envelopes]


# 6. What is told of an order is believed, whatever was asked.


def believing_all(flow: Workflow) -> Workflow:
    return replace(flow, steps=tuple(replace(step, agrees=lambda facts: True) for step in flow.steps))


# 7. An undo that is refused for good counts as done.


class Hasty(Workflow):
    @cached_property
    def meaning(self) -> dict[Any, tuple[Step, StepStatus]]:
        refusals = {step.undo_refused: (step, StepStatus.COMPENSATED) for step in self.steps if step.undo_refused}
        return {**super().meaning, **refusals}


def taking_refusals_for_undone(flow: Workflow) -> Workflow:
    return Hasty(**{item.name: getattr(flow, item.name) for item in fields(flow)})


# 8. A refused undo is asked for again and again, and nobody is told.


def deaf_to_refusals(flow: Workflow) -> Workflow:
    return replace(flow, steps=tuple(replace(step, undo_refused=None) for step in flow.steps))


MUTANTS = [
    Mutant(name="no tombstone", handling=without_tombstones),
    Mutant(name="acknowledged before the commit", worker=HastyWorker),
    Mutant(name="neither inbox nor row", consumer=ForgetfulConsumer, handling=without_memory),
    Mutant(name="joined on any", handling=by(joining_on_any), flow=joining_on_any),
    Mutant(name="published before the confirm", worker=TrustingWorker),
    Mutant(name="all is believed", handling=by(believing_all), flow=believing_all),
    Mutant(name="refused counts as undone", handling=by(taking_refusals_for_undone), flow=taking_refusals_for_undone),
    Mutant(name="deaf to refusals", handling=by(deaf_to_refusals), flow=deaf_to_refusals),
]
