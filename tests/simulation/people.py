"""Customers and operators: they place, repeat, cancel, approve, retry, reverse and settle, as the seed has it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from order_service.commands import Commands, Conflict
from order_service.domain import NewOrder, Wish
from order_service.fulfillment.saga import Kind, OrderStatus, Progress, Reason, StepStatus
from order_service.placing import Placed, place
from order_service.terms import Terms
from order_service.view import Order
from shared.api_keys import Principal, Role
from shared.database import TransientError
from shared.messaging.notifier import Notifier
from tests.simulation.checks import Violation
from tests.simulation.ports import Crash

if TYPE_CHECKING:
    from tests.simulation.world import World

OPERATOR = Principal(role=Role.OPERATOR, name="olga")
CUSTOMER = Principal(role=Role.CUSTOMER, name="alice")
SOLD = (("RARE-VASE", 2), ("POPULAR-LAMP", 9), ("LINEN-SOFA", 2), ("COFFEE-MUG", 30))  # and how many at most
TOKENS = {"tok_visa": 12, "tok_declined": 2, "tok_capture_refused": 2, "tok_timeout": 2}
KEPT = {"tok_void_refused": 2, "tok_refund_refused": 2}  # who has paid so may not get it back
COUNTRIES = {"GB": 4, "DE": 4, "FR": 2, "US": 3, "BR": 2}
FINAL = {"CH": 2}  # where a booking cannot be cancelled


@dataclass
class Wanted:
    """An order that a customer wants, and what became of it."""

    number: int
    order: NewOrder
    token: str
    country: str
    order_id: str | None = None
    responses: set[bytes] = field(default_factory=set)
    cancelled: bool = False  # the desk took a cancellation or a reversal
    objections: set[Reason] = field(default_factory=set)  # that people made, and nobody turned down
    settled: set[str] = field(default_factory=set)  # steps that an operator settled by hand

    @property
    def name(self) -> str:
        return f"order {self.number}"

    @property
    def is_sound(self) -> bool:
        """Nobody outside refuses it."""
        return self.token not in ("tok_declined", "tok_capture_refused") and self.country != "BR"

    @property
    def may_be_kept(self) -> bool:
        """Somebody outside may refuse for good to undo what it did."""
        return self.token in KEPT or self.country in FINAL

    @property
    def is_scarce(self) -> bool:
        """There may be too little of what it asks for."""
        return any(line.sku == "RARE-VASE" for line in self.order.lines)

    @property
    def is_dear(self) -> bool:
        """It has to be approved."""
        return any(line.sku == "LINEN-SOFA" for line in self.order.lines)


class Front:
    """The process that serves the Order API."""

    name = "order api"
    service = "order"


class People:
    """Everybody outside the system, and the process that serves them."""

    def __init__(self, world: "World", terms: Terms) -> None:
        """`terms` are those of the shop."""
        self.world, self.terms, self.front = world, terms, Front()
        self.database, self.clock = world.databases["order"], world.clocks["order"]
        self.notifier = Notifier(self.database)
        self.notifier.listen(self._wake, other_processes=False)
        flows = {terms.flow.version: terms.flow}
        self.commands = Commands(
            database=self.database, flows=flows, clock=self.clock, notifier=self.notifier, new_id=world.new_id
        )
        self.wanted = [self._draw(number + 1) for number in range(world.chance.choice((1, 2, 3, 3)))]
        self._by_id: dict[str, Wanted] = {}
        for each in self.wanted:
            self.world.at(self.world.chance.choice((0.0, 0.0, 5.0)), lambda each=each: self._place(each))

    def name(self, order_id: str) -> str:
        """What the order is called in the schedule."""
        if order_id not in self._by_id:
            query = "SELECT key FROM idempotency_keys WHERE order_id = ?"
            found = self.database.raw.execute(query, (order_id,)).fetchone()
            if not found:
                return "an unknown order"
            self._by_id[order_id] = self.wanted[int(found[0]) - 1]
        return self._by_id[order_id].name

    def find(self, order_id: str) -> Wanted:
        self.name(order_id)
        return self._by_id[order_id]

    def see(self, order_id: str, status: OrderStatus, steps: Mapping[str, Progress]) -> None:
        """Somebody looks at an order that has just moved, and may do something about it, now or later."""
        chance, world = self.world.chance, self.world
        soon = world.seconds + chance.choice((0.0, 0.0, 0.3, 4.0, 70.0))
        if chance.random() < 0.05:
            world.at(soon, lambda: self._cancel(order_id, chance.choice((CUSTOMER, OPERATOR))))
        if status is OrderStatus.AWAITING_APPROVAL and steps["approval"].attempts == 1:
            self._ponder(order_id, soon)
        if steps["capture"].status == StepStatus.REQUESTED and chance.random() < 0.1:
            world.at(soon, lambda: self._reverse(order_id))
        for step in self.terms.flow.steps:
            progress = steps[step.name]
            parked = progress.deadline and progress.attempts > step.attempts
            if progress.problem and not progress.problem.settled and not progress.deadline:
                world.at(soon, lambda step=step: self._let_go(order_id, step.name))
            elif parked and step.kind is Kind.RETRIABLE and chance.random() < 0.1:
                world.at(soon, lambda step=step: self._settle(order_id, step.name))
            elif progress.deadline and step.request and chance.random() < (0.2 if parked else 0.01):
                world.at(
                    soon, lambda step=step: self._tell(order_id, f"retries {step.name}", self.commands.retry, step.name)
                )

    def _ponder(self, order_id: str, soon: float) -> None:
        match self.world.chance.choices(
            ("grants", "refuses", "both", "revokes the deadline of", "ignores"), (6, 2, 1, 1, 2)
        )[0]:
            case "grants":
                self.world.at(soon, lambda: self._tell(order_id, "approves", self.commands.approve))
            case "refuses":
                self.world.at(soon, lambda: self._refuse(order_id))
            case "both":
                self.world.at(soon, lambda: self._tell(order_id, "approves", self.commands.approve))
                self.world.at(soon, lambda: self._refuse(order_id))
            case "revokes the deadline of":
                self.world.at(soon, lambda: self._revoke(order_id))
                later = soon + timedelta(days=3).total_seconds()
                self.world.at(later, lambda: self._tell(order_id, "approves", self.commands.approve))

    def _draw(self, number: int) -> Wanted:
        chance = self.world.chance
        lines = [
            Wish(sku=sku, quantity=chance.randint(1, most)) for sku, most in chance.sample(SOLD, chance.randint(1, 2))
        ]
        tokens, countries = TOKENS | KEPT, COUNTRIES | FINAL
        (token,) = chance.choices(list(tokens), list(tokens.values()))
        (country,) = chance.choices(list(countries), list(countries.values()))
        address = {"name": "Ada Lovelace", "line1": "12 St James's Square", "city": "London", "postal_code": "SW1Y 4JH"}
        order = NewOrder(
            principal="customer:alice",
            path="/orders",
            key=str(number),
            body_hash=f"{number:064x}",
            customer_id="alice",
            lines=lines,
            ship_to={**address, "country": country},
            payment_token=token,
        )
        return Wanted(number, order, token, country)

    def _place(self, wanted: Wanted) -> None:
        lines = ", ".join(f"{line.quantity} {line.sku}" for line in wanted.order.lines)
        self.world.note("alice", f"places {wanted.name}: {lines} to {wanted.country} by {wanted.token}")
        with self._at_the_front():
            with self.database.transaction() as connection:
                now = self.clock.now(connection)
                (outcome,) = place(connection, now, [wanted.order], self.terms, self.world.new_id)
            self.notifier.notify()
            assert isinstance(outcome, Placed)
            wanted.order_id = outcome.order_id
            wanted.responses.add(outcome.response)
        if not wanted.responses or self.world.chance.random() < 0.1:
            self.world.at(self.world.seconds + self.world.chance.choice((0.0, 2.0, 60.0)), lambda: self._place(wanted))

    def _cancel(self, order_id: str, principal: Principal) -> None:
        record = self._tell(order_id, "cancels", self.commands.cancel, principal=principal)
        self._object(order_id, record, Reason(f"{principal.role}_request"))
        self.find(order_id).cancelled |= record is not None

    def _reverse(self, order_id: str) -> None:
        record = self._tell(order_id, "reverses capture", self.commands.reverse, "capture")
        self._object(order_id, record, Reason.OPERATOR_REQUEST)
        self.find(order_id).cancelled |= record is not None

    def _refuse(self, order_id: str) -> None:
        self._object(order_id, self._tell(order_id, "refuses", self.commands.refuse), Reason.APPROVAL_REFUSED)

    def _object(self, order_id: str, record: Order | None, reason: Reason) -> None:
        if record is not None or self._lost_answer:
            self.find(order_id).objections.add(reason)

    def _settle(self, order_id: str, step: str) -> None:
        if self._tell(order_id, f"settles {step}", self.commands.settle, step) is not None or self._lost_answer:
            self.find(order_id).settled.add(step)

    def _let_go(self, order_id: str, step: str) -> None:
        """What is refused for good, or was told otherwise later, is seen to by hand, sooner or later."""
        if self.world.chance.random() < 0.2:
            self._tell(order_id, f"retries {step}", self.commands.retry, step)
        self._settle(order_id, step)
        if self._lost_answer:
            self.world.at(self.world.seconds + 60.0, lambda: self._let_go(order_id, step))

    def _revoke(self, order_id: str) -> None:
        self._tell(order_id, "revokes the deadline of approval", self.commands.move_deadline, "approval", None)

    def _tell(
        self,
        order_id: str,
        what: str,
        say: Callable[..., Order],
        *arguments: Any,
        principal: Principal = OPERATOR,
    ) -> Order | None:
        """Say it at the desk; None when it was refused, or nobody knows."""
        record, answer = None, "no answer"
        with self._at_the_front():
            try:
                record = say(order_id, *arguments, principal)
                answer = f"now {record.status}"
            except Conflict as conflict:
                answer = conflict.detail
        self.world.note(principal.name, f"{what} {self.name(order_id)}: {answer}")
        return record

    _lost_answer = False

    @contextmanager
    def _at_the_front(self) -> Iterator[None]:
        """In the process of the Order API, which may die, or find its database away: then there is no answer."""
        self._lost_answer = False
        self.world.acting.append(self.front)
        try:
            yield
        except (Crash, TransientError):
            self._lost_answer = True
            self.world.note(self.front.name, "gives no answer")
        finally:
            self.world.acting.remove(self.front)

    def _wake(self) -> None:
        for process in self.world.processes:
            if process.service == "order" and process.worker:
                process.worker.wake()

    def are_answered(self) -> None:
        """The same key and body get the same answer."""
        for each in self.wanted:
            if len(each.responses) != 1:
                raise Violation(f"{each.name} was answered in {len(each.responses)} different ways")
