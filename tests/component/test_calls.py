"""Calls to the outside: intended, asked, committed; never inside a transaction, never done without their intent."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from payment_service.domain import Status
from payment_service.handlers import HANDLERS
from payment_service.service import SERVICE
from payment_service.store import Payments
from shared.contracts import CaptureRequested, PaymentRequested, PaymentReversalRequested
from shared.database import TransientError
from shared.messaging.broker import Delivery
from shared.messaging.handling import Answers, Call, Handling
from tests.component.bench import Bench, open_envelope, order_id, persist


def wanted(number: int, token: str = "tok_visa") -> PaymentRequested:
    return PaymentRequested(order_id=order_id(number), amount=1999, currency="EUR", payment_token=token)


CAPTURE = CaptureRequested(order_id=order_id(1), authorization_id=f"authorize-{order_id(1)}", amount=1999)


class Witness(Bench):
    """A payment service that notes each run of a handler, each unit of work and each call."""

    def __init__(self, url: str) -> None:
        super().__init__(SERVICE, url)
        self.runs: list[tuple[str, int]] = []  # order id, number of the unit of work
        self.given: list[Answers] = []  # to each unit of work
        self.asked: list[str] = []
        self.status_when_asked: list[str] = []
        self.honest: Handling = self.consumer.handling
        self.consumer = self.another(self.witnessed())

    def witnessed(self) -> Handling:
        def load(connection: Any, requests: Sequence[Any], now: Any, answers: Answers) -> Payments:
            self.given.append(answers)
            return Payments.load(connection, requests, now, answers)

        def noting(handler: Any) -> Any:
            def noted(request: Any, payments: Payments) -> Any:
                self.runs.append((request.order_id, len(self.given)))
                return handler(request, payments)

            return noted

        def ask(calls: Sequence[Call]) -> Answers:
            self.asked += [call.key for call in calls]
            self.status_when_asked += [status for (status,) in self.rows("SELECT status FROM payments")]
            return self.honest.ask(calls)

        handlers = {kind: noting(handler) for kind, handler in HANDLERS.items()}
        return replace(self.honest, load=load, handlers=handlers, ask=ask)

    def facts(self) -> list[str]:
        """What the outbox holds."""
        return sorted(kind for (kind,) in self.rows("SELECT type FROM outbox"))


@pytest.fixture
def bench(database_url: str) -> Iterator[Witness]:
    bench = Witness(database_url)
    yield bench
    bench.close()


def test_a_handler_runs_twice_each_time_on_rows_loaded_anew(bench: Witness) -> None:
    """Before the call and after it, and never on a unit of work whose transaction has ended."""
    bench.deliver(wanted(1), wanted(2))
    assert bench.runs == [(order_id(1), 1), (order_id(2), 1), (order_id(1), 2), (order_id(2), 2)]


def test_answers_are_passed_and_not_slipped_in(bench: Witness) -> None:
    """A unit of work keeps the answers that it was loaded with; later ones go to the next."""
    bench.deliver(wanted(1))
    first, second = bench.given
    assert first == {}
    assert list(second) == [f"{order_id(1)}:authorize"]


def test_the_intent_is_committed_when_the_outside_is_asked(bench: Witness) -> None:
    """Whoever looks while the call is made sees that it may have been made."""
    bench.deliver(wanted(1))
    assert bench.status_when_asked == [Status.AUTHORIZING]


def test_an_undo_of_work_in_doubt_takes_one_round_more(bench: Witness) -> None:
    """The work's own call again, then the one that undoes it. Its neighbor's handler runs twice all the same."""
    bench.deliver(wanted(1), PaymentReversalRequested(order_id=order_id(1)), wanted(2))
    assert bench.asked == [f"{order_id(1)}:authorize", f"{order_id(2)}:authorize", f"{order_id(1)}:void"]
    assert Counter(bench.runs) == {
        **{(order_id(1), unit): 2 for unit in (1, 2, 3)},
        **{(order_id(2), unit): 1 for unit in (1, 2)},
    }
    assert bench.facts() == ["payment.authorized", "payment.reversed", "payment.reversed"]


def test_a_message_waits_for_what_another_of_its_order_asks(bench: Witness) -> None:
    """A capture beside the authorization that it needs is not judged before the answer to that is there."""
    bench.deliver(wanted(1), CAPTURE)
    assert bench.facts() == ["payment.authorized", "payment.captured"]
    assert bench.buried() == []


def test_a_message_waits_also_beside_one_that_fails(bench: Witness) -> None:
    """When a batch fails and each message is worked alone, all that is said of calls holds: intent, answer, order."""
    poison = wanted(3, token="nul\0token" if bench.database.is_postgresql else "x" * 201)
    bench.deliver(wanted(1), CAPTURE, poison, wanted(2))
    assert bench.facts() == ["payment.authorized", "payment.authorized", "payment.captured"]
    assert set(bench.status_when_asked) <= {Status.AUTHORIZING, Status.AUTHORIZED, Status.CAPTURING}
    assert len(bench.buried()) == 1


def test_a_message_whose_intent_could_not_be_committed_is_not_done(bench: Witness) -> None:
    """Its row is committed by the next transaction, as an intent; only then is it asked, and done after that."""
    honest, failures = bench.consumer.handling, [RuntimeError("the intent fails")]

    def load(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return honest.load(*arguments)

    said = bench.another(replace(honest, load=load)).work(bench.deliveries([wanted(1)]))
    assert [type(open_envelope(each)).__name__ for each in said] == ["PaymentAuthorized"]
    assert bench.status_when_asked == [Status.AUTHORIZING]
    assert bench.rows("SELECT COUNT(*) FROM inbox") == [(1,)]


def test_a_call_that_fails_is_made_once_for_a_message(bench: Witness) -> None:
    """The intent stays, the message is done, and nothing is published."""
    silent = replace(bench.consumer.handling, ask=lambda calls: bench.asked.extend(each.key for each in calls) or {})
    assert bench.another(silent).work(bench.deliveries([wanted(1)])) == []
    assert bench.asked == [f"{order_id(1)}:authorize"]
    assert bench.rows("SELECT status FROM payments") == [(Status.AUTHORIZING,)]
    assert bench.rows("SELECT COUNT(*) FROM inbox") == [(1,)]


def test_what_is_done_stays_done_when_a_later_round_breaks_off(bench: Witness) -> None:
    """The batch is worked again: facts are in the outbox once, and the call that broke off is made again."""
    honest, broken = bench.consumer.handling, [TransientError("the connection breaks")]

    def ask(calls: Sequence[Call]) -> Answers:
        if broken and any(each.key.endswith(":void") for each in calls):
            raise broken.pop()
        return honest.ask(calls)

    messages = [wanted(1), PaymentReversalRequested(order_id=order_id(1)), wanted(2)]
    persist(bench.another(replace(honest, ask=ask)), bench.deliveries(messages))
    assert not broken
    assert bench.facts() == ["payment.authorized", "payment.reversed", "payment.reversed"]
    assert bench.rows("SELECT voided FROM payments ORDER BY order_id") == [(1999,), (0,)]


def test_who_asks_for_ever_is_put_aside(bench: Witness) -> None:
    """A defect that finds another call after each answer ends as a dead letter, and not in an endless batch."""

    def call(request: PaymentRequested, payments: Payments) -> Call:
        return Call(key=f"{request.order_id}:{len(payments.answers)}", order_id=request.order_id, request=None)

    calls, honest = dict.fromkeys(HANDLERS, call), bench.consumer.handling
    endless = bench.another(replace(honest, calls=calls, ask=lambda calls: {each.key: "yes" for each in calls}))
    assert endless.work(bench.deliveries([wanted(1)])) == []
    (reason,) = bench.buried()
    assert reason.startswith("asks_for_ever")


def test_a_redelivery_of_what_waits_is_counted(bench: Witness) -> None:
    """A message that comes twice in a batch is done once, and counted twice, also when it takes one round more."""
    undo = bench.enclose(PaymentReversalRequested(order_id=order_id(1)))
    bench.consumer.work([Delivery(envelope=bench.enclose(wanted(1)), tag=0)])
    in_doubt = replace(bench.honest, ask=lambda _: {})
    bench.another(in_doubt).work(bench.deliveries([CAPTURE]))
    bench.consumer.work(bench.deliveries([undo, undo]))
    assert bench.rows(f"SELECT deliveries FROM inbox WHERE message_id = '{undo.id}'") == [(2,)]
    assert bench.facts() == ["payment.authorized", "payment.reversed"]
