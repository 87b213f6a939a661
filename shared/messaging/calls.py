"""Calls to the outside, such as a card network: never inside a transaction, and never forgotten in a crash.

A message that needs the outside is worked in three steps. *Intend*: in a first transaction the handler runs without an
answer, and the row, as it leaves it, still owes a call. Only the row is committed: it tells whoever comes next that the
call may have been made. *Ask*: the call is made after that commit and outside any transaction, under a key that is the
same however often it is asked. *Commit*: the row is loaded anew, under lock, and the handler runs again, with the
answer. When the row owes nothing any more, the message is done: its row, its place in the inbox and what the service
publishes are committed together, and only then is it acknowledged. So its handler has run twice.

A row may owe another call after the answer. (An undo of work in doubt first makes the work's own call again, then the
one that undoes it.) Then the inbox gives the message back, the transaction is the intent of that next call, and ask and
commit follow once more. A message whose intent could not be committed is not done either: it takes the same way.

A call that fails is not made again for this message: its answer is None, the intent stays, nothing is published, and
whoever waits for the fact asks again. So it is with a call that is not made because its batch has waited for the
outside for long enough: a worker that waits must not be taken for one that hangs.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shared.messaging.broker import Delivery, Letter
from shared.messaging.envelope import Envelope, Key
from shared.messaging.handling import Answers, Ask, Call, Handling, UnitOfWork, Unprocessable

ROUNDS = 10  # a message that would take more asks for ever

Request = tuple[Delivery, Any]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What goes through one transaction."""

    requests: Sequence[Request]
    letters: Sequence[Letter] = ()  # could not even be read
    published: Collection[str] = ()
    answers: Answers = field(default_factory=dict)
    rounds_left: int = ROUNDS


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one transaction made of its messages. Those that are neither unread nor dead nor waiting are done."""

    outgoing: list[Envelope] = field(default_factory=list)
    unread: list[Letter] = field(default_factory=list)  # not taken in
    dead: list[Letter] = field(default_factory=list)
    waiting: dict[Key, str] = field(default_factory=dict)  # message -> order id, for the answers to `calls`
    calls: dict[str, Call] = field(default_factory=dict)
    unanswered: list[Envelope] = field(default_factory=list)  # done, and nothing is said: the outside did not answer

    def add(self, part: "Outcome") -> None:
        """What became of some more messages."""
        self.outgoing.extend(part.outgoing)
        self.dead.extend(part.dead)
        self.waiting.update(part.waiting)
        self.calls.update(part.calls)
        self.unanswered.extend(part.unanswered)


def work_in_rounds(
    batch: Batch, intend: Callable[[Batch], Mapping[str, Call]], ask: Ask, commit: Callable[[Batch], Outcome]
) -> list[Envelope]:
    """Work a batch until none of its messages waits for the outside; returns the committed messages.

    `intend` and `commit` are the transactions. What they raise ends the work, and leaves what was committed before.
    """
    batch = replace(batch, answers=answers_to(intend(batch), ask))
    outgoing: list[Envelope] = []
    while True:
        outcome = commit(batch)
        outgoing += outcome.outgoing
        if not outcome.waiting:
            return outgoing
        batch = Batch(
            requests=[each for each in batch.requests if each[0].envelope.key in outcome.waiting],
            answers={**batch.answers, **answers_to(outcome.calls, ask)},
            rounds_left=batch.rounds_left - 1,
        )


def asking_for(seconds: float, ask: Ask, monotonic: Callable[[], float]) -> Ask:
    """`ask`, for one batch: when it has waited for answers for so long in all, nothing more is asked."""
    waited = 0.0

    def ask_unless_late(calls: Sequence[Call]) -> Answers:
        nonlocal waited
        if waited >= seconds:
            return {}
        began = monotonic()
        answers = ask(calls)
        waited += monotonic() - began
        return answers

    return ask_unless_late


def answers_to(calls: Mapping[str, Call], ask: Ask) -> Answers:
    """The answer to every call by its key: None where none came."""
    if not calls:
        return {}
    return {**dict.fromkeys(calls), **ask(list(calls.values()))}


def owed(handling: Handling, message: Any, work: UnitOfWork, batch: Batch) -> Call | None:
    """What must be asked before this message is done, as its handler left the row. What was asked in vain is not owed.

    Raises Unprocessable when it has asked and asked.
    """
    call_for = handling.calls.get(type(message))
    call: Call | None = call_for(message, work) if call_for else None
    if call is None or call.key in batch.answers:
        return None
    if not batch.rounds_left:
        raise Unprocessable(f"asks_for_ever: {call.key} after {ROUNDS} rounds of calls")
    return call
