"""Every state that one order can reach, with three participants, whatever the network, the clock and people do.

The network is a set that only grows: what was ever sent may be delivered at any time, any number of times, or never.
Time is "these deadlines have passed, those have not". A participant is a table of what it promises.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from itertools import chain, combinations
from operator import or_
from typing import Any, NamedTuple

from order_service.fulfillment.decide import Decision, decide
from order_service.fulfillment.inputs import DeadlineMoved, RetryRequested, SettlementRequested
from order_service.fulfillment.saga import Heard, Kind, Progress, Reason, Saga, Workflow
from shared.contracts import (
    CaptureRequested,
    DispatchRequested,
    Event,
    PaymentRequested,
    PaymentReversalRequested,
    PaymentReversed,
    ShipmentCancellationRequested,
    ShipmentRequested,
    StockIssueRequested,
    StockReleaseRequested,
    StockRequested,
)
from shared.values import changed
from tests.unit.order import scenario as told

LATER = told.NOON + told.wait(hours=1)
NOTHING_HELD = PaymentReversed(order_id=told.ID, voided=0, refunded=0)

# What a participant's row may become when it is asked, and what it then says. "" is no row yet. What is not in the
# table must never be asked.
Answers = list[tuple[str, Event]]
Participant = Mapping[type[Event], Mapping[str, Answers]]

REVERSED: dict[str, Answers] = {
    "refunded": [("refunded", told.refunded)],
    "voided": [("voided", told.voided)],
    "nothing held": [("nothing held", NOTHING_HELD)],
}
PAYMENT: Participant = {
    PaymentRequested: {
        "": [("authorized", told.authorized), ("declined", told.declined)],
        "authorized": [("authorized", told.authorized)],
        "declined": [("declined", told.declined)],
        "captured": [("captured", told.authorized)],
        **REVERSED,
    },
    CaptureRequested: {
        "authorized": [
            ("captured", told.captured),
            ("authorized", told.capture_refused),
        ],  # may yet succeed
        "captured": [("captured", told.captured)],
        **REVERSED,
    },
    PaymentReversalRequested: {
        "": REVERSED["nothing held"],
        "declined": REVERSED["nothing held"],
        "authorized": REVERSED["voided"],
        "captured": REVERSED["refunded"],
        **REVERSED,
    },
}
INVENTORY: Participant = {
    StockRequested: {
        "": [("reserved", told.reserved), ("unavailable", told.unavailable)],
        "reserved": [("reserved", told.reserved)],
        "unavailable": [("unavailable", told.unavailable)],
        "released": [("released", told.released)],
        "issued": [("issued", told.reserved)],
    },
    StockReleaseRequested: {row: [("released", told.released)] for row in ("", "reserved", "unavailable", "released")},
    StockIssueRequested: {row: [("issued", told.issued)] for row in ("reserved", "issued")},
}
SHIPPING: Participant = {
    ShipmentRequested: {
        "": [("booked", told.booked), ("refused", told.undeliverable)],
        "booked": [("booked", told.booked)],
        "refused": [("refused", told.undeliverable)],
        "cancelled": [("cancelled", told.unbooked)],
        "dispatched": [("dispatched", told.booked)],
    },
    ShipmentCancellationRequested: {
        row: [("cancelled", told.unbooked)] for row in ("", "booked", "refused", "cancelled")
    },
    DispatchRequested: {row: [("dispatched", told.dispatched)] for row in ("booked", "dispatched")},
}
LEARNED = sorted({name for fact in told.FACTS_HEARD for name in fact.__struct_fields__} - {"order_id", "detail"})
PARTICIPANTS = (PAYMENT, INVENTORY, SHIPPING)


def fickle(participant: Participant) -> Participant:
    """The same participant breaking its promise: asked again after a refusal, it may do the work all the same."""
    work, *others = participant
    refusal = participant[work][""][1][0]
    return {work: {**participant[work], refusal: participant[work][""]}, **{kind: participant[kind] for kind in others}}


def refusing(participant: Participant) -> Participant:
    """The same participant when whoever is asked outside may refuse, for good, to take back what was done."""
    refusals = {
        "authorized": ("void refused", told.void_refused),
        "captured": ("refund refused", told.refund_refused),
        "booked": ("cancel refused", told.cancel_refused),
    }
    undo = next(
        (kind for kind in participant if kind in (PaymentReversalRequested, ShipmentCancellationRequested)), None
    )
    if undo is None:
        return participant
    mine = {row: refusal for row, refusal in refusals.items() if row in participant[undo]}
    for_good: dict[str, Answers] = {row: [(row, fact)] for row, fact in mine.values()}
    asked = {row: [*answers, *([mine[row]] if row in mine else [])] for row, answers in participant[undo].items()}
    return {**{kind: {**answers, **for_good} for kind, answers in participant.items()}, undo: {**asked, **for_good}}


def lying(participant: Participant) -> Participant:
    """The same participant when its facts cannot all be true: it does what it should, and may say something else."""
    lies = {
        told.authorized: told.LIES["payment"],
        told.captured: told.LIES["capture"],
        told.voided: told.LIES["voided"],
    }
    lies |= {told.dispatched: told.LIES["dispatch"]}
    return {
        kind: {
            row: [*said, *((then, lies[fact]) for then, fact in said if fact in lies)] for row, said in answers.items()
        }
        for kind, answers in participant.items()
    }


class World(NamedTuple):
    """A saga by its number, the participants' rows, and a bit for each kind of message ever sent."""

    saga: int
    rows: tuple[str, ...]
    sent: int


class Move(NamedTuple):
    needs: int  # the bit of the message that is heard, 0 for what people and the clock say
    saga: int
    sends: int
    meddling: bool  # by a person who could as well have left things alone


Check = Callable[[Workflow, Saga, Heard, Decision], None]


class Exploration:
    """All worlds that can be reached, breadth first; `check` sees every decision on the way.

    With `helped`, an operator settles undos, too, and that is part of the way to a good end. Unless they are `busy`,
    operators neither ask again nor move deadlines.
    """

    def __init__(
        self,
        flow: Workflow,
        participants: tuple[Participant, ...],
        check: Check,
        *,
        helped: bool = False,
        busy: bool = True,
        **facts: Any,
    ) -> None:
        self.flow, self.check, self.decisions = flow, check, 0
        self.helped, self.busy = helped, busy
        tables = chain.from_iterable(table.values() for table in participants)
        said = chain.from_iterable(chain.from_iterable(table.values()) for table in tables)
        self.facts = list(dict.fromkeys(fact for _, fact in said))
        self.sagas: list[Saga] = []
        self._requests = [(kind, n, table[kind]) for n, table in enumerate(participants) for kind in table]
        self._bits: dict[object, int] = {}
        self._numbers: dict[object, int] = {}
        self._timeless: dict[tuple[str, Progress], Progress] = {}
        self._moves: dict[int, list[Move]] = {}
        self.start = World(self._number(Saga.start(flow, told.FACTS | facts)), ("",) * len(participants), 0)
        self.worlds: dict[World, list[World]] = {}  # each with those that it follows from, without meddling
        self._explore()

    def sent(self, world: World, kind: type[Event]) -> bool:
        return bool(self._bits.get(kind, 0) & world.sent)

    def leading_to(self, good: Iterable[World]) -> set[World]:
        """All worlds from which deliveries and time alone can lead to a good one."""
        found = set(good)
        queue = deque(found)
        while queue:
            for before in self.worlds[queue.popleft()]:
                if before not in found:
                    found.add(before)
                    queue.append(before)
        return found

    def _explore(self) -> None:
        self.worlds[self.start] = []
        queue = deque([self.start])
        while queue:
            world = queue.popleft()
            for then, meddling in self._next(world):
                if then not in self.worlds:
                    self.worlds[then] = []
                    queue.append(then)
                if not meddling:
                    self.worlds[then].append(world)

    def _next(self, world: World) -> Iterator[tuple[World, bool]]:
        saga, rows, sent = world
        for move in self._saga_moves(saga):
            if move.needs & sent == move.needs:
                yield World(move.saga, rows, sent | move.sends), move.meddling
        for kind, n, answers in self._requests:
            if self._bits.get(kind, 0) & sent:
                for row, fact in answers[rows[n]]:
                    yield World(saga, (*rows[:n], row, *rows[n + 1 :]), sent | self._bit(fact)), False

    def _saga_moves(self, number: int) -> list[Move]:
        """What this saga may hear, any of its deadlines having passed meanwhile, and what comes of it."""
        if number not in self._moves:
            saga, moves, events = self.sagas[number], set(), self._events()
            awaited = [name for name, p in saga.steps.items() if p.deadline]
            for passed in chain.from_iterable(combinations(awaited, n) for n in range(len(awaited) + 1)):
                late = {name: changed(saga.steps[name], deadline=told.NOON) for name in passed}
                before = changed(saga, steps={**saga.steps, **late})
                outcomes = [(event, self._decide(before, event)) for event in events]
                moves |= {self._move(event, decision) for event, decision in outcomes if decision.saga is not saga}
                if not passed:  # what tells this saga nothing is no more than a tick when deadlines have passed
                    events = [told.tick, *(event for event, decision in outcomes if decision.saga != saga)]
            self._moves[number] = sorted(move for move in moves if move.saga != number or move.sends)
        return self._moves[number]

    def _events(self) -> list[Heard]:
        settled = [step for step in self.flow.steps if self.helped or step.kind is Kind.RETRIABLE]
        by_step: list[Heard] = [SettlementRequested(step=step.name) for step in settled]
        if self.busy:
            by_step += [RetryRequested(step=step.name) for step in self.flow.steps]
            by_step += [DeadlineMoved(step=step.name, deadline=at) for step in self.flow.steps for at in (None, LATER)]
        people = (told.placed, told.cancelled, told.granted, told.refused, told.reversed_by_operator)
        return [told.tick, *self.facts, *people, *by_step]

    def _decide(self, saga: Saga, event: Heard) -> Decision:
        decision = decide(self.flow, saga, event, told.NOON)
        self.decisions += 1
        self.check(self.flow, saga, event, decision)
        return decision

    def _move(self, event: Heard, decision: Decision) -> Move:
        sends = reduce(or_, map(self._bit, decision.messages), 0)
        heard = isinstance(event, Event)
        helping = (
            heard
            or event in (told.tick, told.placed, told.granted)
            or (self.helped and isinstance(event, SettlementRequested))
        )
        return Move(self._bit(event) if heard else 0, self._number(decision.saga), sends, not helping)

    def _bit(self, message: Event) -> int:
        """Requests are told apart by their kind, facts by what they say."""
        key = type(message) if message.producer == "order" else message
        return self._bits.setdefault(key, 1 << len(self._bits))

    def _number(self, saga: Saga) -> int:
        """One for all sagas that differ only in when or why things happened, or in how often beyond all patience."""
        steps = {}
        for step in self.flow.steps:
            p = saga.steps[step.name]
            if (step.name, p) not in self._timeless:
                settled, deadline = p.settled_at and told.NOON, p.deadline and LATER
                problem = p.problem and changed(p.problem, words="a problem")
                timeless = Progress(p.status, min(p.attempts, step.attempts + 1), None, settled, deadline, problem)
                self._timeless[step.name, p] = timeless
            steps[step.name] = self._timeless[step.name, p]
        key = (*steps.values(), saga.backward, *map(saga.facts.get, LEARNED))
        if key not in self._numbers:
            self._numbers[key] = len(self.sagas)
            self.sagas.append(changed(saga, steps=steps, reason=saga.reason and Reason.TIMED_OUT, reason_detail=None))
        return self._numbers[key]
