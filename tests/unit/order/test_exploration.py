"""One order explored to the last reachable state: whatever happens, in whatever order, its books balance in the end."""

from functools import cache

import pytest

from order_service.fulfillment.decide import Decision
from order_service.fulfillment.inputs import SettlementRequested, Tick
from order_service.fulfillment.saga import ASKED, SETTLED, Heard, Kind, OrderStatus, Saga, Workflow
from order_service.fulfillment.saga import StepStatus as S
from order_service.fulfillment.workflow import FULFILLMENT, amounts
from shared.contracts import CaptureRequested, DispatchRequested, StockIssueRequested
from tests.unit.order.exploration import PARTICIPANTS, Exploration, World, fickle, lying, refusing
from tests.unit.order.scenario import LIES

UNHAPPY = {"", "declined", "nothing held", "voided", "refunded", "unavailable", "released", "refused", "cancelled"}

# How many worlds there are. A change of these figures is a change of behavior: look at it, then write it down here.
SIZES = {("honest", False): 29_849, ("honest", True): 58_878, ("fickle", False): 39_866, ("fickle", True): 40_162}
SIZES |= {("refusing", False): 39_190, ("lying", False): 56_382}
RANK = [*OrderStatus].index


def check(flow: Workflow, saga: Saga, event: Heard, decision: Decision) -> None:
    """What must hold of each single decision."""
    after = decision.saga
    before, status = saga.status(flow), after.status(flow)
    assert before is status or (RANK(before) < RANK(status) and not before.final), "a status never moves backwards"
    assert after.backward >= saga.backward, "who turned back stays turned back"
    assert (after.reason is not None) == after.backward, "an order that turned back says why"
    assert not saga.backward or after.reason == saga.reason, "the first reason wins"
    assert len(decision.history) == 1 or (isinstance(event, Tick) and decision == Decision(saga, (), ()))
    if after is saga:
        return
    kinds = {type(message) for message in decision.messages}
    assert len(kinds) == len(decision.messages), "nothing is asked twice at once"
    for step in flow.steps:
        was, now = saga.steps[step.name], after.steps[step.name]
        by_hand = isinstance(event, SettlementRequested) and event.step == step.name and saga.problem(step)
        if step.request in kinds:
            assert not after.backward, "nothing new is asked after turning back"
            assert all(after.steps[name].status in SETTLED for name in step.after), "nothing is asked too early"
        if step.undo in kinds:
            assert after.backward
            assert was.status not in (S.WAITING, S.SKIPPED), "no undo goes to a step that was not asked"
        if now.status is S.DONE is not was.status:
            assert by_hand or type(event) is step.success, "only its success, or an operator, says that a step is done"
            assert event not in LIES.values(), "a contradiction settles nothing"
        if now.status is S.COMPENSATED is not was.status:
            assert by_hand or type(event) is step.undone, "only its fact, or an operator, says that a step is undone"
            assert event not in LIES.values(), "a contradiction settles nothing"
        if after.backward and step.kind is Kind.COMPENSATABLE:
            assert now.status not in (S.REQUESTED, S.DONE), "undo is sent at once to all that may have happened"
        assert (now.deadline is not None) <= (now.status in ASKED), "only who is asked has a deadline"
        asked = now.status in ASKED and step.request is not None
        assert now.deadline or now.problem or not asked, "no question is ever forgotten"
        assert now.deadline or not asked or after.problem(step), "whoever is not asked again is looked at by a person"
        assert now.deadline is None or now.status is S.REQUESTED or after.backward


def status(found: Exploration, world: World) -> OrderStatus:
    return found.sagas[world.saga].status(found.flow)


def balanced(found: Exploration, world: World) -> bool:
    """The order has ended, nothing more is owed but what a person has seen to, and what the customer is told is what
    the participants did."""
    saga = found.sagas[world.saga]
    money = amounts(saga.facts)
    total = saga.facts["amount"]
    payment, inventory, shipping = world.rows
    by_hand = {name for name, progress in saga.steps.items() if progress.problem and progress.problem.settled}
    match saga.status(found.flow):
        case OrderStatus.FULFILLED:
            right = payment == "captured" and inventory in ("issued", *(["reserved"] * ("issue" in by_hand)))
            right = right and shipping in ("dispatched", *(["booked"] * ("dispatch" in by_hand)))
        case OrderStatus.CANCELLED:
            names = ("payment", "inventory", "shipping")
            right = all(row in UNHAPPY or name in by_hand for name, row in zip(names, world.rows, strict=True))
        case _:
            return False
    taken = total * (payment in ("captured", "refunded", "refund refused"))
    held = taken or total * (payment in ("authorized", "voided", "void refused"))
    truth = {
        "authorized": held,
        "captured": taken,
        "voided": total * (payment == "voided"),
        "refunded": total * (payment == "refunded"),
    }
    unknown = "payment" in by_hand  # it may have been settled without an answer
    return right and (money == truth or unknown) and saga.deadline is None


MANNERS = {"honest": lambda each: each, "fickle": fickle, "refusing": refusing, "lying": lying}


@cache
def explore(manner: str, needs_approval: bool) -> Exploration:
    patience = 2 if manner == "honest" else 1
    flow = FULFILLMENT.paced({}, {step.name: patience for step in FULFILLMENT.steps}, FULFILLMENT.slowest)
    participants = tuple(map(MANNERS[manner], PARTICIPANTS))
    helped, busy = manner == "refusing", manner in ("honest", "fickle")
    return Exploration(flow, participants, check, helped=helped, busy=busy, needs_approval=needs_approval)


QUICK = ("honest", False)
everywhere = pytest.mark.parametrize(
    ("manner", "needs_approval"),
    [pytest.param(*each, marks=[] if each == QUICK else pytest.mark.slow) for each in SIZES],
)


@pytest.mark.timeout(400)  # it explores, and the others find what it found
@everywhere
def test_every_decision_in_every_state_keeps_the_promises(manner: str, needs_approval: bool) -> None:
    """In every state that can be reached, and for every event there, the decision is right: see `check`."""
    found = explore(manner, needs_approval)
    print(f"\n{manner}, approval {needs_approval}: {len(found.worlds):,} worlds, {found.decisions:,} decisions")
    assert len(found.worlds) == SIZES[manner, needs_approval]


@everywhere
def test_nothing_ships_unpaid_and_nobody_pays_for_what_cannot_be_shipped(manner: str, needs_approval: bool) -> None:
    """The money is asked for once stock and parcel are held; goods leave once it is taken, and it stays taken."""
    found = explore(manner, needs_approval)
    for world in found.worlds:
        payment, inventory, shipping = world.rows
        if found.sent(world, DispatchRequested) or found.sent(world, StockIssueRequested):
            assert payment == "captured"
            assert not found.sagas[world.saga].backward
        if found.sent(world, CaptureRequested) and not found.sagas[world.saga].backward:
            assert (inventory, shipping) in {(i, s) for i in ("reserved", "issued") for s in ("booked", "dispatched")}
        assert shipping != "dispatched" or payment == "captured"


@everywhere
def test_at_rest_the_books_balance(manner: str, needs_approval: bool) -> None:
    """An order that has ended holds no money and no goods that it should not, and its amounts tell the truth."""
    found = explore(manner, needs_approval)
    for world in found.worlds:
        if manner in ("honest", "refusing") and status(found, world).final:
            assert balanced(found, world), (world, found.sagas[world.saga])


@everywhere
def test_from_every_state_a_good_end_can_be_reached(manner: str, needs_approval: bool) -> None:
    """Wherever an order got to, deliveries, time and an approval alone bring it to an end with balanced books."""
    found = explore(manner, needs_approval)
    good = [world for world in found.worlds if balanced(found, world)]
    assert {status(found, world) for world in good} == {OrderStatus.FULFILLED, OrderStatus.CANCELLED}
    assert found.leading_to(good) == set(found.worlds)
