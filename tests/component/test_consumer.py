"""The consumer: one transaction per batch, nothing lost, nothing retried for ever, one bad message harms no other."""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from payment_service.handlers import HANDLERS
from payment_service.service import SERVICE
from payment_service.store import Payments
from shared.contracts import PaymentAuthorized, PaymentRequested
from shared.database import TransientError
from shared.ids import uuid7
from shared.messaging.envelope import BEGINNING, Envelope
from shared.messaging.handling import Handling, Stop
from tests.component.bench import Bench, order_id, persist


def wanted(number: int, token: str = "tok_visa") -> PaymentRequested:
    return PaymentRequested(order_id=order_id(number), amount=1999, currency="EUR", payment_token=token)


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    bench = Bench(SERVICE, database_url)
    yield bench
    bench.close()


def damaged(envelope: Envelope, **changes: Any) -> Envelope:
    return msgspec.structs.replace(envelope, **changes)


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("unknown_type", {"type": "payment.blessed"}),
        ("unknown_type", {"type": ""}),
        ("forged_sender", {"producer": "inventory"}),
        ("forged_sender", {"producer": ""}),
        ("unsupported_version", {"version": 2}),
        ("content_type", {"content_type": "application/xml"}),
        ("oversized", {"body": b'"' + b"x" * 300_000 + b'"'}),
        ("malformed", {"body": b"not json"}),
        ("malformed", {"body": b"\xff\xfe"}),
        ("malformed", {"body": b"[" * 100_000}),
        ("malformed", {"body": b'{"order_id": "somewhere"}'}),
        ("malformed", {"correlation_id": order_id(99)}),
        ("malformed", {"id": "not-a-uuid"}),
        ("malformed", {"id": "nul\0and\ud800surrogate", "type": "payment.requested\0"}),
    ],
)
def test_what_cannot_be_read_is_kept_with_the_reason(bench: Bench, reason: str, changes: dict[str, Any]) -> None:
    """It goes to the dead letters of the service that received it; the rest of its batch is worked. It is kept whole,
    but of a body that is too large only the beginning, and what it was."""
    letter = damaged(bench.enclose(wanted(1)), **changes)
    (fact,) = bench.deliver(letter, wanted(2))
    assert fact == PaymentAuthorized(order_id=order_id(2), authorization_id=f"authorize-{order_id(2)}", authorized=1999)
    (why,) = bench.buried()
    assert why.startswith(reason) or reason in why
    ((body, size, digest),) = bench.rows("SELECT body, size, digest FROM dead_letters")
    assert bytes(body) == (letter.body if len(letter.body) <= 262_144 else letter.body[:BEGINNING])
    assert (size, digest) == (len(letter.body), sha256(letter.body).hexdigest())


def test_a_forged_message_stays_forged_when_it_is_replayed(bench: Bench) -> None:
    """Whose it was is kept with it, and compared again."""
    letters = SERVICE.tables.dead_letters
    bench.deliver(damaged(bench.enclose(wanted(1)), producer="inventory"))
    with bench.database.transaction() as connection:
        assert len(letters.replay(connection, None, now=bench.now(), new_id=uuid7)) == 1
    with bench.database.reading() as connection:
        deliveries = letters.to_replay(connection, 10)
    assert bench.consumer.work(deliveries) == []
    forged = "forged_sender: payment.requested from 'inventory' instead of 'order'"
    assert bench.buried() == [forged]
    assert bench.rows("SELECT state FROM dead_letters ORDER BY state") == [("parked",), ("replayed",)]


def test_unknown_fields_are_ignored(bench: Bench) -> None:
    """A reader tolerates what a newer writer adds."""
    envelope = bench.enclose(wanted(1))
    newer = envelope.body[:-1] + b',"loyalty_points":7}'
    (fact,) = bench.deliver(damaged(envelope, body=newer))
    assert isinstance(fact, PaymentAuthorized)


def test_a_redelivered_message_has_no_effect_and_is_counted(bench: Bench) -> None:
    """The same message id is worked once, within a batch and across batches."""
    envelope = bench.enclose(wanted(1))
    assert len(bench.deliver(envelope, envelope)) == 1
    assert bench.deliver(envelope) == []
    assert bench.rows("SELECT deliveries FROM inbox") == [(3,)]


def test_an_id_stands_for_one_body(bench: Bench) -> None:
    """What its producer says under an id again, in the same batch or later, is a repeat or a dead letter."""
    first, other = bench.enclose(wanted(1)), bench.enclose(wanted(2))
    other = damaged(other, id=first.id)
    (fact,) = bench.deliver(first, other, first)
    assert fact.order_id == order_id(1)
    assert bench.deliver(damaged(first, body=first.body + b" "), first) == []
    assert bench.rows("SELECT deliveries FROM inbox") == [(3,)]
    assert bench.buried() == ["id_reused: its producer has sent another body under this id"] * 2
    assert [str(each) for (each,) in bench.rows("SELECT order_id FROM payments")] == [order_id(1)]
    assert [str(each) for (each,) in bench.rows("SELECT order_id FROM card_network_books")] == [order_id(1)]


def test_letters_beyond_a_number_are_counted_only(bench: Bench) -> None:
    """Of a producer and a kind of reason so many are kept an hour; what a handler could not bear and is not kept can be
    published again, for it is not in the inbox either; and nothing else is held back."""
    bad = {order_id(number): RuntimeError("cursed") for number in range(8)}
    consumer = bench.another(Moody(bench, bad).handling, letter_limit=5)
    cursed = bench.deliveries([wanted(number) for number in range(8)])
    junk = [damaged(bench.enclose(wanted(9)), body=b"%d" % number) for number in range(6)]
    fact = consumer.work([*cursed, *bench.deliveries([*junk, wanted(10)])])
    assert len(fact) == 1
    kinds = [reason.partition(":")[0] for reason in bench.buried()]
    assert sorted(kinds) == ["failed"] * 5 + ["malformed"] * 5
    counted = "SELECT producer, kind, letters, not_kept FROM dead_letter_counts ORDER BY kind"
    assert bench.rows(counted) == [("order", "failed", 8, 3), ("order", "malformed", 6, 1)]
    assert len(bench.consumer.work(cursed)) == 3
    consumer.work(bench.deliveries([damaged(bench.enclose(wanted(9)), producer="inventory")]))
    assert len(bench.buried()) == 11


def test_what_strangers_send_is_a_line_in_the_log_for_each_batch(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """However many are put aside: how many, and one of them."""
    junk = [damaged(bench.enclose(wanted(number)), body=b"%d" % number) for number in range(50)]
    bench.consumer.work(bench.deliveries([*junk, wanted(50)]))
    (line,) = [each for each in caplog.records if each.levelname in ("ERROR", "WARNING")]
    assert line.getMessage().startswith("50 dead letters, such as ")


class Moody:
    """Payment's handling, with orders that its handlers or its database cannot bear."""

    def __init__(self, bench: Bench, moods: dict[str, BaseException]) -> None:
        self.runs: dict[str, int] = {}
        self.moods = moods
        handlers = {kind: self._wrap(handler) for kind, handler in HANDLERS.items()}
        self.handling: Handling = replace(bench.consumer.handling, handlers=handlers)

    def _wrap(self, handler: Any) -> Any:
        def moody(request: Any, payments: Payments) -> Any:
            self.runs[request.order_id] = self.runs.get(request.order_id, 0) + 1
            if error := self.moods.get(request.order_id):
                raise error
            return handler(request, payments)

        return moody


def test_a_failing_handler_harms_nobody_else(bench: Bench) -> None:
    """Of 50 messages, the 3 whose handler raises are dead letters, and 47 are done, in the same transaction."""
    bad = {order_id(number): RuntimeError(f"order {number} is cursed") for number in (3, 17, 49)}
    consumer = bench.another(Moody(bench, bad).handling)
    said = consumer.work(bench.deliveries([wanted(number) for number in range(50)]))
    assert len(said) == 47
    assert sorted(bench.buried()) == sorted(f"failed: RuntimeError: {error}" for error in bad.values())
    assert bench.rows("SELECT COUNT(*) FROM payments") == [(47,)]


def test_what_the_database_refuses_harms_nobody_else(bench: Bench) -> None:
    """A value that the database cannot take is a dead letter; its neighbors commit."""
    said = bench.deliver(wanted(1), wanted(2, token="nul\0token" if bench.database.is_postgresql else "x" * 201))
    assert [fact.order_id for fact in said] == [order_id(1)]
    assert len(bench.buried()) == 1


def test_a_stop_leaves_everything_undone(bench: Bench) -> None:
    """A handler that meets what its worker must not touch stops the worker, and nothing of the batch is taken in."""
    consumer = bench.another(Moody(bench, {order_id(1): Stop("workflow version 7 is not known here")}).handling)
    with pytest.raises(Stop, match="version 7"):
        consumer.work(bench.deliveries([wanted(1), wanted(2)]))
    assert bench.rows("SELECT COUNT(*) FROM inbox") == [(0,)]


def test_bad_weather_is_nobodys_fault(bench: Bench) -> None:
    """While somebody keeps the tables locked nothing is buried and nothing done; afterwards the same batch is."""
    deliveries = bench.deliveries([wanted(1)])
    with bench.database.transaction() as connection:
        if bench.database.is_postgresql:
            connection.execute(text("LOCK TABLE inbox"))
        with pytest.raises(TransientError):
            bench.consumer.work(deliveries)
    assert bench.buried() == []
    assert len(bench.consumer.work(deliveries)) == 1


def test_a_zombie_finds_its_message_taken(new_postgresql_database: Any) -> None:
    """A worker that slept while its message was given to another commits nothing: the inbox's key decides."""
    with closing(Bench(SERVICE, new_postgresql_database())) as bench:
        envelope = bench.enclose(wanted(1))
        asleep, awake = threading.Event(), threading.Event()
        zombies: list[Any] = []

        def sleepy(request: Any, payments: Payments) -> Any:
            if threading.current_thread().name == "zombie":
                asleep.set()
                assert awake.wait(60)
            return HANDLERS[type(request)](request, payments)

        handling = replace(bench.consumer.handling, handlers=dict.fromkeys(HANDLERS, sleepy), calls={})
        other = bench.another(bench.consumer.handling)

        def sleepwalk() -> None:
            zombies.extend(persist(bench.another(handling), bench.deliveries([envelope])))

        thread = threading.Thread(target=sleepwalk, name="zombie")
        thread.start()
        assert asleep.wait(60)
        threading.Timer(0.2, awake.set).start()  # the other one waits at the inbox for the zombie's transaction
        facts = other.work(bench.deliveries([envelope]))
        thread.join()
        assert len(zombies) + len(facts) <= 1
        assert bench.rows("SELECT COUNT(*), SUM(deliveries) FROM inbox") == [(1, 2)]


def test_a_dead_letter_is_replayed_once(bench: Bench) -> None:
    """A replay is worked under an id of its own, settled when it is asked for: attempted twice, it counts once."""
    bad = {order_id(1): RuntimeError("a defect that is mended later")}
    envelope = bench.enclose(wanted(1))
    bench.another(Moody(bench, bad).handling).work(bench.deliveries([envelope]))
    letters = SERVICE.tables.dead_letters
    with bench.database.transaction() as connection:
        assert letters.replay(connection, [envelope.id], now=bench.now(), new_id=uuid7) == [envelope.id]
        assert letters.replay(connection, None, now=bench.now(), new_id=uuid7) == []
    with bench.database.reading() as connection:
        deliveries = letters.to_replay(connection, 10)
    assert len(bench.consumer.work(deliveries)) == 1
    assert bench.consumer.work(deliveries) == []
    assert bench.rows("SELECT state FROM dead_letters") == [("replayed",)]
    with bench.database.reading() as connection:
        assert letters.to_replay(connection, 10) == []
