"""Payment: money is held, taken and given back once, whatever dies; the network's own books are the witness."""

import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest

from payment_service.service import SERVICE
from payment_service.store import WORLD
from shared.config import load
from shared.contracts import (
    CaptureRefused,
    CaptureRequested,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRequested,
    PaymentReversalRequested,
    PaymentReversed,
)
from shared.messaging.envelope import Envelope
from shared.outside.simulator import Conduct
from tests.component.bench import Bench, order_id

ORDER = order_id(1)


def wanted(number: int = 1, token: str = "tok_visa") -> PaymentRequested:
    return PaymentRequested(order_id=order_id(number), amount=1999, currency="EUR", payment_token=token)


def capture(number: int = 1) -> CaptureRequested:
    return CaptureRequested(order_id=order_id(number), authorization_id=f"authorize-{order_id(number)}", amount=1999)


UNDO = PaymentReversalRequested(order_id=ORDER)


class Payment(Bench):
    def network(self) -> dict[str, int]:
        """What the network did for all orders: the sum by kind of what it approved."""
        return {
            kind: int(amount)
            for kind, amount in self.rows(
                "SELECT kind, SUM(amount) FROM card_network_books WHERE approved GROUP BY kind ORDER BY kind"
            )
        }

    def status(self, number: int = 1) -> str:
        (row,) = self.rows(f"SELECT status FROM payments WHERE order_id = '{order_id(number)}'")
        return str(row[0])


def network(payment: Payment, conduct: Conduct) -> None:
    """From now on the card network behaves so."""
    with payment.database.transaction() as connection:
        WORLD.set_conduct(connection, "card_network", conduct)


@pytest.fixture
def payment(database_url: str) -> Iterator[Payment]:
    bench = Payment(SERVICE, database_url)
    yield bench
    bench.close()


def test_money_is_held_then_taken(payment: Payment) -> None:
    """An accepted card is authorized, and captured when asked; each answer tells the amount."""
    (authorized,) = payment.deliver(wanted())
    assert authorized == PaymentAuthorized(order_id=ORDER, authorization_id=f"authorize-{ORDER}", authorized=1999)
    assert payment.deliver(capture()) == [PaymentCaptured(order_id=ORDER, captured=1999)]
    assert payment.network() == {"authorize": 1999, "capture": 1999}


@pytest.mark.parametrize(
    ("token", "detail"),
    [
        ("tok_declined", "the card was declined"),
        ("tok_insufficient_funds", "insufficient funds"),
        ("tok_expired", "the card has expired"),
        ("tok_of_a_stranger", "the token is not known to the network"),
    ],
)
def test_a_refusal_is_a_fact(payment: Payment, token: str, detail: str) -> None:
    """A declined card is an answer with its reason, and nothing is held."""
    assert payment.deliver(wanted(token=token)) == [PaymentDeclined(order_id=ORDER, detail=detail)]
    assert payment.network() == {}


def test_a_refused_capture_leaves_the_hold_to_be_voided(payment: Payment) -> None:
    """A capture may be refused after all; asked again it is refused again, and the reversal voids what is held."""
    payment.deliver(wanted(token="tok_capture_refused"))
    for _ in range(2):
        (refused,) = payment.deliver(capture())
        assert isinstance(refused, CaptureRefused)
    assert payment.deliver(UNDO) == [PaymentReversed(order_id=ORDER, voided=1999, refunded=0)]
    assert payment.network() == {"authorize": 1999, "void": 1999}


def test_a_captured_payment_is_refunded(payment: Payment) -> None:
    """The payment service knows whether to void or to refund."""
    payment.deliver(wanted())
    payment.deliver(capture())
    for _ in range(2):
        assert payment.deliver(UNDO) == [PaymentReversed(order_id=ORDER, voided=0, refunded=1999)]
    assert payment.network() == {"authorize": 1999, "capture": 1999, "refund": 1999}


def test_a_lost_answer_is_no_refusal(payment: Payment) -> None:
    """A call without an answer keeps the intent and says nothing; asked again, the network remembers what it did."""
    assert payment.deliver(wanted(token="tok_timeout")) == []
    assert payment.status() == "authorizing"
    (fact,) = payment.deliver(wanted(token="tok_timeout"))
    assert isinstance(fact, PaymentAuthorized)
    assert payment.network() == {"authorize": 1999}


def test_a_capture_of_nothing_is_put_aside(payment: Payment) -> None:
    """A capture for an order whose payment was never asked for is nobody's to work."""
    assert payment.deliver(capture()) == []
    (reason,) = payment.buried()
    assert reason.startswith("capture_without_authorization")


def test_undo_of_a_payment_in_doubt_asks_again_before_it_voids(payment: Payment) -> None:
    """An undo that finds the intent repeats the call with the same key, and takes back what that turns out to hold."""
    payment.deliver(wanted(token="tok_timeout"))
    while not (facts := payment.deliver(UNDO)):
        assert payment.status() == "authorized"
    assert facts == [PaymentReversed(order_id=ORDER, voided=1999, refunded=0)]
    assert payment.network() == {"authorize": 1999, "void": 1999}


def die(payment: Payment, moment: str, envelope: Envelope) -> None:
    """A worker process takes the message and is killed before or after its call."""
    words = [sys.executable, "-m", "tests.component.dying", "payment", payment.database.url, moment]
    done = subprocess.run([*words, msgspec.json.encode(envelope).decode()], check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_worker_killed_around_the_authorization(payment: Payment, moment: str) -> None:
    """Whether it died before the call or between call and commit: the redelivery ends with one authorization."""
    envelope = payment.enclose(wanted())
    die(payment, moment, envelope)
    assert payment.status() == "authorizing"
    (fact,) = payment.deliver(envelope)
    assert isinstance(fact, PaymentAuthorized)
    assert payment.network() == {"authorize": 1999}


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_worker_killed_around_the_capture(payment: Payment, moment: str) -> None:
    """The money is taken once."""
    payment.deliver(wanted())
    envelope = payment.enclose(capture())
    die(payment, moment, envelope)
    assert payment.deliver(envelope) == [PaymentCaptured(order_id=ORDER, captured=1999)]
    assert payment.network() == {"authorize": 1999, "capture": 1999}


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_undo_overtakes_a_killed_authorization(payment: Payment, moment: str) -> None:
    """The undo is worked before the redelivered request: in the end the network holds nothing."""
    envelope = payment.enclose(wanted())
    die(payment, moment, envelope)
    (reversed_,) = payment.deliver(UNDO)
    assert reversed_ == PaymentReversed(order_id=ORDER, voided=1999, refunded=0)
    assert payment.deliver(envelope) == [reversed_]
    assert payment.network() == {"authorize": 1999, "void": 1999}


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_undo_overtakes_a_killed_capture(payment: Payment, moment: str) -> None:
    """A reversal while the capture is in doubt makes sure, then refunds: nothing is kept, nothing taken twice."""
    payment.deliver(wanted())
    envelope = payment.enclose(capture())
    die(payment, moment, envelope)
    (reversed_,) = payment.deliver(UNDO)
    assert reversed_ == PaymentReversed(order_id=ORDER, voided=0, refunded=1999)
    assert payment.deliver(envelope) == [reversed_]
    assert payment.network() == {"authorize": 1999, "capture": 1999, "refund": 1999}


def test_a_late_capture_never_takes_what_is_to_be_given_back(payment: Payment) -> None:
    """A reversal that the network did not hear is remembered: a capture request that comes late helps it on instead."""
    payment.deliver(wanted())
    network(payment, Conduct(outage=True))
    assert payment.deliver(UNDO) == []
    assert payment.deliver(capture()) == []
    network(payment, Conduct())
    for late in (capture(), wanted(), UNDO):
        assert payment.deliver(late) == [PaymentReversed(order_id=ORDER, voided=1999, refunded=0)]
    assert payment.network() == {"authorize": 1999, "void": 1999}


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_worker_killed_around_the_void(payment: Payment, moment: str) -> None:
    """Redelivered, the void is asked for again under the same key."""
    payment.deliver(wanted())
    envelope = payment.enclose(UNDO)
    die(payment, moment, envelope)
    assert payment.deliver(envelope) == [PaymentReversed(order_id=ORDER, voided=1999, refunded=0)]
    assert payment.network() == {"authorize": 1999, "void": 1999}


def test_the_calls_of_a_batch_are_made_together(payment: Payment) -> None:
    """200 authorizations at 300 ms each wait once for 300 ms, not 200 times."""
    waits: list[float] = []
    simulator = SERVICE.handling(load(service="payment", environ={"NETWORK_LATENCY_MS": "300"}), payment.database).ask
    simulator.__self__.simulator.sleep = waits.append  # type: ignore[union-attr]
    slow = payment.another(replace(payment.consumer.handling, ask=simulator))
    facts = slow.work(payment.deliveries([wanted(number) for number in range(200)]))
    assert len(facts) == 200
    assert waits == [0.3]


@pytest.mark.parametrize("size", [1, 200])
def test_a_batch_costs_eight_statements(payment: Payment, size: int) -> None:
    """Two short transactions around the calls, whatever the size; the network's own books are not the service's."""
    payment.deliver(wanted(number=0))
    with payment.statements() as sent:
        payment.deliver(*[wanted(number) for number in range(1, size + 1)])
    own = [each for each in sent if "card_network_books" not in each and "FROM simulation" not in each]
    assert len(own) == 8, own


def test_a_silent_network_is_told_in_the_log(payment: Payment, caplog: pytest.LogCaptureFixture) -> None:
    """A network that leaves batches unanswered is one line, with how many requests there were and one order's id."""
    with caplog.at_level(logging.INFO):
        payment.deliver(wanted(1), wanted(2))
        assert caplog.records == []
        network(payment, Conduct(outage=True))
        payment.deliver(wanted(3), wanted(4), wanted(1))
        payment.deliver(wanted(3), wanted(4))
        (line,) = caplog.records
    assert line.getMessage().startswith("no answer from outside")
    assert line.getMessage().endswith(": 2 of 3 requests, such as payment.requested")
    assert (line.levelname, getattr(line, "order_id", None)) == ("WARNING", order_id(3))


def test_an_outage_set_while_running_is_silence(payment: Payment) -> None:
    """While the network is out nothing is said; when it is back, asking again is all that it takes."""
    network(payment, Conduct(outage=True))
    assert payment.deliver(wanted()) == []
    network(payment, Conduct())
    (fact,) = payment.deliver(wanted())
    assert isinstance(fact, PaymentAuthorized)
