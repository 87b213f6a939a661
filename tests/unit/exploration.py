"""Every state that one order can reach at a service that calls the outside: two workers at once, killed anywhere,
calls lost, late or never made.

What is explored is the real handlers and the real rules of the outside. What is not real is the database (a row that is
read and written at once) and the network (a call that was not answered may still arrive at any later time).
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from shared.outside.answers import Answer, Unreachable

ORDER = "00000000-0000-7000-8000-000000000001"
WORKERS = 2
Answers = frozenset[tuple[Any, Answer]]  # what was heard from the outside, by what it was asked
NONE: Answers = frozenset()


class Worker(NamedTuple):
    """One delivery being worked: what was asked and heard, and the call that is under way."""

    message: Any
    answers: Answers
    asking: Any
    intent: int = 0  # the number of the intent that this call follows, where intents are numbered


class State(NamedTuple):
    row: Any = None
    books: Answers = NONE  # what the outside answered, once and for all
    late: frozenset[Any] = frozenset()  # calls that were never answered, and may arrive at any time
    workers: tuple[Worker, ...] = ()


class Exploration(ABC):
    """All states of one order, as its service and the outside leave it."""

    messages: Sequence[Any]  # what the service may hear, any number of times

    @abstractmethod
    def transact(self, state: State, message: Any, answers: Answers) -> tuple[State, Worker | None]:
        """A worker's transaction: the row is read, the handler runs, the row is written; then a call, if one is due."""

    @abstractmethod
    def answer(self, books: Mapping[Any, Answer], asked: Any) -> Answer:
        """What the outside says when it is asked this for the first time."""

    def alike(self, state: State) -> State:
        """The one that stands for all states that differ from each other in nothing that matters."""
        return state

    def states(self) -> Iterator[State]:
        """Every state that can be reached, once, breadth first."""
        seen, edge = {State()}, deque([State()])
        while edge:
            yield (state := edge.popleft())
            for after in self.successors(state):
                if after not in seen:
                    seen.add(after)
                    edge.append(after)

    def successors(self, state: State) -> Iterator[State]:
        for asked in state.late:
            yield state._replace(books=self.arrive(state.books, asked)[0])
        if len(state.workers) < WORKERS:
            for message in self.messages:
                yield self.joined(state.workers, *self.transact(state, message, NONE))
        for index, worker in enumerate(state.workers):
            others = state.workers[:index] + state.workers[index + 1 :]
            books, answer = self.arrive(state.books, worker.asking)
            late = state.late | {worker.asking}
            yield state._replace(workers=others)  # killed before the call
            yield state._replace(workers=others, late=late)  # killed during the call
            for heard, world in (
                (answer, state._replace(books=books)),
                (None, state._replace(late=late)),
                (Unreachable(worker.intent), state),
            ):
                answers = worker.answers | {(worker.asking, heard)}
                yield self.joined(others, *self.transact(world, worker.message, answers))

    def arrive(self, books: Answers, asked: Any) -> tuple[Answers, Answer]:
        """A call reaches the outside, whose first answer under each key is for good."""
        known = dict(books)
        if asked not in known:
            known[asked] = self.answer(known, asked)
        return books | {(asked, known[asked])}, known[asked]

    def joined(self, others: tuple[Worker, ...], state: State, worker: Worker | None) -> State:
        """The state with these workers, in an order that does not depend on who came first."""
        state = self.alike(state._replace(workers=(*others, worker) if worker else others))
        return state._replace(workers=tuple(sorted(state.workers, key=_in_order)))

    def calmly(self, state: State, message: Any) -> State:
        """The message is worked by one worker whose calls are all answered."""
        answers = NONE
        while True:
            state, worker = self.transact(state._replace(workers=()), message, answers)
            if worker is None:
                return state
            books, answer = self.arrive(state.books, worker.asking)
            state, answers = state._replace(books=books), answers | {(worker.asking, answer)}


def _in_order(worker: Worker) -> tuple[str, ...]:
    """Texts that tell workers apart; what a set looks like as a text depends on how it was filled."""
    return repr(worker.message), *sorted(map(repr, worker.answers)), repr(worker.asking), str(worker.intent)
