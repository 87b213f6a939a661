"""What people tell an order: each is one transaction that locks the saga, decides, and writes; workers then publish."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from order_service.fulfillment.inputs import (
    ApprovalGranted,
    ApprovalRefused,
    CancellationRequested,
    DeadlineMoved,
    Input,
    RetryRequested,
    ReversalRequested,
    SettlementRequested,
)
from order_service.fulfillment.saga import OrderStatus
from order_service.queries import find_order
from order_service.sagas import Held, Sagas
from order_service.tables import TABLES
from order_service.terms import Flows
from order_service.view import Order
from shared.api_keys import Principal, Role
from shared.clock import Clock, jump_of
from shared.database import Database, retried
from shared.ids import NewId, uuid7
from shared.messaging.envelope import enclose
from shared.messaging.notifier import Notifier


class NotFound(Exception):
    """There is no such order for this caller, or no such step; the text says which."""


class Conflict(Exception):
    """The order is not in a state in which this can be done; nothing was changed."""

    def __init__(self, status: OrderStatus, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


@dataclass(frozen=True, kw_only=True)
class Commands:
    """Where customers and operators intervene.

    Every call returns the order as it stands afterwards. It raises NotFound, also for another customer's order, and
    Conflict, with nothing written, when the order is past it: unlike an event, a person is told so at once, and could
    fill a history by asking over and over.
    """

    database: Database
    flows: Flows
    clock: Clock
    notifier: Notifier
    new_id: NewId = uuid7

    def cancel(self, order_id: str, principal: Principal, note: str | None = None) -> Order:
        """Possible until the pivot is asked for; doing it twice is doing it once."""
        by = CancellationRequested(by="operator" if principal.role is Role.OPERATOR else "customer", note=note)
        return self._tell(order_id, principal, by, lambda status: status is OrderStatus.CANCELLING)

    def approve(self, order_id: str, principal: Principal, note: str | None = None) -> Order:
        return self._tell(order_id, principal, ApprovalGranted(note=note))

    def refuse(self, order_id: str, principal: Principal, note: str | None = None) -> Order:
        return self._tell(order_id, principal, ApprovalRefused(note=note))

    def retry(self, order_id: str, step: str, principal: Principal, note: str | None = None) -> Order:
        """Ask now, and count the attempts anew."""
        return self._tell(order_id, principal, RetryRequested(step=step, note=note))

    def reverse(self, order_id: str, step: str, principal: Principal, note: str | None = None) -> Order:
        """Withdraw the pivot while it is asked and unanswered."""
        return self._tell(order_id, principal, ReversalRequested(step=step, note=note))

    def settle(self, order_id: str, step: str, principal: Principal, note: str | None = None) -> Order:
        """Take a parked step for done."""
        return self._tell(order_id, principal, SettlementRequested(step=step, note=note))

    def move_deadline(
        self, order_id: str, step: str, deadline: datetime | None, principal: Principal, note: str | None = None
    ) -> Order:
        """Wait until `deadline`, which is aware; None, only where people are asked, is for ever."""
        return self._tell(order_id, principal, DeadlineMoved(step=step, deadline=deadline, note=note))

    def _tell(
        self,
        order_id: str,
        principal: Principal,
        event: Input,
        harmless: Callable[[OrderStatus], bool] = lambda status: False,
    ) -> Order:
        """Decide and write; an event that is only noted is a Conflict, unless it is `harmless` in that status."""
        after, said = retried(lambda: self._decide(order_id, principal, event, harmless))
        if said:
            self.notifier.notify()
        return after

    def _decide(
        self, order_id: str, principal: Principal, event: Input, harmless: Callable[[OrderStatus], bool]
    ) -> tuple[Order, bool]:
        """The transaction; says also whether there is something to publish."""
        with self.database.transaction() as connection:
            now = self.clock.now(connection)
            sagas = Sagas.load(connection, [order_id], self.flows, now, jump_of(self.clock))
            before = find_order(connection, order_id)
            if before is None or not principal.may_see(before.customer_id):
                raise NotFound(f"There is no order {order_id}.")
            held = sagas.held[order_id]
            _check_step(held, event)
            decision = held.hear(event, now, principal.id)
            if not decision.acted:
                if harmless(before.status):
                    return before, False
                outcome = decision.history[0].outcome.removeprefix("noted: ")
                raise Conflict(before.status, f"The order is {before.status}: {outcome}.")
            sagas.flush()
            said = [enclose(message, at=now, new_id=self.new_id) for message in decision.messages]
            TABLES.outbox.add(connection, said, due_at=now)
            after = find_order(connection, order_id)
            assert after is not None
            return after, bool(said)


def _check_step(held: Held, event: Input) -> None:
    step = getattr(event, "step", None)
    if step is not None and step not in held.flow.named:
        raise NotFound(f"There is no step {step}.")
