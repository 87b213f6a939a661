"""Know one, know all: the promises that every participant keeps, proved for all three by the same tests."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from inventory_service.receipts import receive
from shared import contracts as c
from shared.messaging.envelope import Message
from tests.component.bench import Bench, order_id

LINES = (c.Line(sku="POPULAR-LAMP", quantity=2),)


def address(country: str) -> c.Address:
    return c.Address(name="Ada", line1="1 Main Street", city="Anywhere", postal_code="12345", country=country)


@dataclass(frozen=True)
class Participant:
    """How one service is asked, and what it says. Each request is made for an order id."""

    name: str
    request: Callable[[str], Message]
    success: type[Any]
    hopeless: Callable[[str], Message]
    refusal: type[Any]
    undo: Callable[[str], Message]
    undone: type[Any]
    finish: Callable[[Any], Message]  # what is asked next, given the success
    finished: type[Any]
    statuses: str  # a query: the status of every order
    books: str  # a query: all that was really done
    effects: str  # a query that finds nothing when nothing is held for any order
    undoable_when_finished: bool = False
    stock: int = 0


PAYMENT = Participant(
    name="payment",
    request=lambda order: c.PaymentRequested(order_id=order, amount=1999, currency="EUR", payment_token="tok_visa"),
    success=c.PaymentAuthorized,
    hopeless=lambda order: c.PaymentRequested(
        order_id=order, amount=1999, currency="EUR", payment_token="tok_declined"
    ),
    refusal=c.PaymentDeclined,
    undo=lambda order: c.PaymentReversalRequested(order_id=order),
    undone=c.PaymentReversed,
    finish=lambda fact: c.CaptureRequested(
        order_id=fact.order_id, authorization_id=fact.authorization_id, amount=fact.authorized
    ),
    finished=c.PaymentCaptured,
    statuses="SELECT order_id, status FROM payments ORDER BY order_id",
    books="SELECT order_id, kind, amount FROM card_network_books WHERE approved ORDER BY order_id, kind",
    effects="""SELECT order_id FROM card_network_books WHERE approved GROUP BY order_id
               HAVING SUM(CASE kind WHEN 'authorize' THEN amount WHEN 'capture' THEN 0 ELSE -amount END) <> 0""",
    undoable_when_finished=True,
)
INVENTORY = Participant(
    name="inventory",
    request=lambda order: c.StockRequested(order_id=order, lines=LINES),
    success=c.StockReserved,
    hopeless=lambda order: c.StockRequested(order_id=order, lines=(*LINES, c.Line(sku="NO-SUCH-THING", quantity=1))),
    refusal=c.StockUnavailable,
    undo=lambda order: c.StockReleaseRequested(order_id=order),
    undone=c.StockReleased,
    finish=lambda fact: c.StockIssueRequested(order_id=fact.order_id),
    finished=c.StockIssued,
    statuses="SELECT order_id, status FROM reservations ORDER BY order_id",
    books="SELECT reference, sku, kind, quantity FROM stock_movements WHERE kind <> 'received' ORDER BY 1, 2, 3",
    effects="SELECT sku FROM stock WHERE reserved <> 0 OR on_hand <> 1000",
    stock=1000,
)
SHIPPING = Participant(
    name="shipping",
    request=lambda order: c.ShipmentRequested(order_id=order, lines=LINES, ship_to=address("DE")),
    success=c.ShipmentBooked,
    hopeless=lambda order: c.ShipmentRequested(order_id=order, lines=LINES, ship_to=address("NZ")),
    refusal=c.ShipmentRefused,
    undo=lambda order: c.ShipmentCancellationRequested(order_id=order),
    undone=c.ShipmentCancelled,
    finish=lambda fact: c.DispatchRequested(order_id=fact.order_id, tracking_number=fact.tracking_number),
    finished=c.ShipmentDispatched,
    statuses="SELECT order_id, status FROM shipments ORDER BY order_id",
    books="SELECT order_id, party, kind FROM carrier_books WHERE approved ORDER BY order_id, party, kind",
    effects="""SELECT order_id FROM carrier_books WHERE approved GROUP BY order_id
               HAVING SUM(CASE kind WHEN 'book' THEN 1 WHEN 'cancel' THEN -1 ELSE 0 END) <> 0""",
)
A, B, OTHER = order_id(1), order_id(2), order_id(3)


class Room(Bench):
    """A participant on a database of its own."""

    def __init__(self, participant: Participant, url: str) -> None:
        super().__init__(import_module(f"{participant.name}_service.service").SERVICE, url)
        self.participant = participant
        if participant.stock:
            with self.database.transaction() as connection:
                now = self.clock.now(connection)
                receive(connection, now, principal="test", sku="POPULAR-LAMP", key="1", quantity=participant.stock)

    def held(self) -> bool:
        """Whether anything is held anywhere."""
        return bool(self.rows(self.participant.effects))

    def state(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that the service and its outside know, without times and message ids."""
        ignored = {"at", "created_at", "updated_at", "received_at", "version", "askings"}
        found = {}
        with self.database.reading() as connection:
            for name, table in self.service.metadata.tables.items():
                if name in ("inbox", "outbox", "dead_letters"):
                    continue
                columns = [column for column in table.c if column.name not in ignored]
                found[name] = sorted((tuple(row) for row in connection.execute(select(*columns))), key=repr)
        return found


@pytest.fixture(params=[PAYMENT, INVENTORY, SHIPPING], ids=lambda each: each.name)
def participant(request: pytest.FixtureRequest) -> Participant:
    return request.param


@pytest.fixture
def room(participant: Participant, database_url: str) -> Iterator[Room]:
    made = Room(participant, database_url)
    yield made
    made.close()


def test_done_and_finished(room: Room, participant: Participant) -> None:
    """A request is answered with its success, what follows with its own; each is about the order that was asked for."""
    (success,) = room.deliver(participant.request(A))
    assert isinstance(success, participant.success)
    assert success.order_id == A
    (finished,) = room.deliver(participant.finish(success))
    assert isinstance(finished, participant.finished)
    assert finished.order_id == A


def test_asked_again_the_same_answer(room: Room, participant: Participant) -> None:
    """Asked again under another message id, in the same batch or later, the same is answered, and nothing is done."""
    first, second = room.deliver(participant.request(A), participant.request(A))
    before = room.state()
    (third,) = room.deliver(participant.request(A))
    assert isinstance(first, participant.success)
    assert first == second == third
    (finished,) = room.deliver(participant.finish(first))
    after = room.state()
    assert room.deliver(participant.finish(first)) == [finished]
    assert room.deliver(participant.request(A)) == [first]
    assert room.state() == after != before


def test_a_refusal_is_a_fact(room: Room, participant: Participant) -> None:
    """What cannot be done is answered with a reason, the same however often it is asked; nothing is held."""
    (refusal,) = room.deliver(participant.hopeless(A))
    assert isinstance(refusal, participant.refusal)
    assert refusal.detail
    assert room.deliver(participant.hopeless(A)) == [refusal]
    assert not room.held()
    assert room.buried() == []


def test_undo_before_the_work(room: Room, participant: Participant) -> None:
    """An undo of what was never asked leaves a tombstone: the request that comes late hears it, and holds nothing."""
    (undone,) = room.deliver(participant.undo(A))
    assert isinstance(undone, participant.undone)
    for _ in range(2):
        assert room.deliver(participant.request(A)) == [undone]
    assert room.deliver(participant.hopeless(A)) == [undone]
    assert not room.held()


def test_undo_after_the_work(room: Room, participant: Participant) -> None:
    """An undo gives back what was held; it is for good, and answered the same however often it is asked."""
    room.deliver(participant.request(A))
    assert room.held()
    (undone,) = room.deliver(participant.undo(A))
    assert isinstance(undone, participant.undone)
    assert not room.held()
    before = room.state()
    for message in (participant.undo(A), participant.request(A), participant.hopeless(A), participant.undo(A)):
        assert room.deliver(message) == [undone]
    assert room.state() == before


def test_undo_after_a_refusal(room: Room, participant: Participant) -> None:
    """An undo of what was refused is done at once, and the next request hears of it."""
    room.deliver(participant.hopeless(A))
    (undone,) = room.deliver(participant.undo(A))
    assert isinstance(undone, participant.undone)
    assert room.deliver(participant.hopeless(A)) == [undone]
    assert not room.held()


def test_undo_in_the_batch_of_its_request(room: Room, participant: Participant) -> None:
    """Request and undo in one batch, in either order, end with nothing held."""
    said = room.deliver(participant.request(A), participant.undo(A), participant.undo(B), participant.request(B))
    assert [each.order_id for each in said] == [A, A, B, B]
    assert [type(each) for each in said[1:]] == [participant.undone] * 3
    assert not room.held()


def test_what_comes_next_after_an_undo(room: Room, participant: Participant) -> None:
    """Asked for the next step after the undo, the undone fact is said again."""
    (success,) = room.deliver(participant.request(A))
    (undone,) = room.deliver(participant.undo(A))
    assert room.deliver(participant.finish(success)) == [undone]
    assert not room.held()


def test_undo_of_what_is_finished(room: Room, participant: Participant) -> None:
    """What is finished is undone where that makes sense (a refund), else the undo is put aside as a sender's bug."""
    (success,) = room.deliver(participant.request(A))
    room.deliver(participant.finish(success))
    said = room.deliver(participant.undo(A))
    assert [type(each) for each in said] == [participant.undone] * participant.undoable_when_finished
    assert len(room.buried()) == (not participant.undoable_when_finished)


def test_a_redelivery_changes_nothing(room: Room, participant: Participant) -> None:
    """The same message id again, in the same batch or later, is counted; nothing is done, nothing said."""
    request, undo = room.enclose(participant.request(A)), room.enclose(participant.undo(A))
    assert len(room.deliver(request, request)) == 1
    assert room.deliver(request) == []
    assert len(room.deliver(undo, request)) == 1
    before = room.state()
    assert room.deliver(undo, request) == []
    assert room.state() == before
    assert not room.held()


def test_unreadable_messages_are_put_aside(room: Room, participant: Participant) -> None:
    """Unknown types and versions, malformed bodies and bodies about another order: dead letters; the rest is done."""
    good = room.enclose(participant.request(A))

    def spoiled(**fields: Any) -> Any:
        return msgspec.structs.replace(room.enclose(participant.request(B)), **fields)

    letters = {
        "unknown_type": spoiled(type="parcel.teleported"),
        "unsupported_version": spoiled(version=99),
        "malformed": spoiled(body=b'{"order_id": "'),
        "malformed ": spoiled(body=b"{}"),
        "malformed  ": spoiled(correlation_id=OTHER),
        "content_type": spoiled(content_type="text/plain"),
    }
    (success,) = room.deliver(*letters.values(), good)
    assert isinstance(success, participant.success)
    assert sorted(each.partition(":")[0] for each in room.buried()) == sorted(each.strip() for each in letters)


def test_a_data_error_buries_only_its_own_message(room: Room, participant: Participant) -> None:
    """A message that the database cannot take is put aside with its reason; its batch is done without it."""
    poison = {
        "payment": lambda: c.PaymentRequested(order_id=B, amount=1, currency="EUR", payment_token="tok_\0visa"),
        "inventory": lambda: c.StockRequested(order_id=B, lines=(c.Line(sku="LAMP\0", quantity=1),)),
        "shipping": lambda: c.ShipmentRequested(
            order_id=B, lines=LINES, ship_to=msgspec.structs.replace(address("DE"), city="Any\0where")
        ),
    }[participant.name]()
    said = room.deliver(participant.request(A), poison, participant.request(OTHER))
    facts = {each.order_id: each for each in said}
    assert isinstance(facts[A], participant.success)
    assert isinstance(facts[OTHER], participant.success)
    if room.database.is_postgresql:  # SQLite takes every text
        assert B not in facts
        assert len(room.buried()) == 1
        assert f"'{B}'" not in str(room.state())


def test_a_batch_is_as_one_by_one(participant: Participant, new_database: Callable[[], str]) -> None:
    """Sixty orders that are asked, refused, undone and asked again end the same in one batch as one by one, and the
    last word on each order is the same."""
    scripts = []
    for number in range(60):
        ask, undo = participant.hopeless if number % 7 == 3 else participant.request, participant.undo
        words = [[ask], [ask, ask], [ask, undo], [undo, ask], [undo]][number % 5]
        scripts.append([make(order_id(number)) for make in words])
    messages = [each for turn in zip_longest(*scripts) for each in turn if each]  # the orders take turns

    together, singly = Room(participant, new_database()), Room(participant, new_database())
    said = together.deliver(*messages)
    alone = [fact for message in messages for fact in singly.deliver(message)]
    for query in (participant.statuses, participant.books):
        assert together.rows(query) == singly.rows(query)
    assert {each.order_id: each for each in said} == {each.order_id: each for each in alone}
    assert len(said) == len(alone) == len(messages)
    together.close()
    singly.close()


@dataclass
class Interrupted:
    """A unit of work during which the database goes away, after all its writing."""

    work: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.work, name)

    def flush(self) -> None:
        self.work.flush()
        raise OperationalError("COMMIT", {}, Exception("the database is away"))


def test_a_batch_is_done_or_not_done_at_all(room: Room, participant: Participant) -> None:
    """When the database goes away before the commit, nothing of the batch is there; worked again, all of it is."""
    deliveries = room.deliveries([participant.request(A), participant.request(B)])
    before, handling = room.state(), room.consumer.handling
    weather = room.another(replace(handling, load=lambda *words: Interrupted(handling.load(*words))))
    with pytest.raises(OperationalError):
        weather.work(deliveries)
    assert room.state() == before
    assert room.rows("SELECT message_id FROM inbox") == room.rows("SELECT id FROM outbox") == []
    assert [each.type for each in room.consumer.work(deliveries)] == [participant.success.type] * 2


def test_the_last_word_survives_in_the_outbox(room: Room, participant: Participant) -> None:
    """Every fact is in the outbox with the message that caused it, and marked when the broker has confirmed it."""
    request = room.enclose(participant.request(A))
    room.deliver(request)
    assert room.rows("SELECT COUNT(*) FROM outbox WHERE published_at IS NULL") == [(1,)]
    room.deliver(participant.request(B))
    rows = room.rows("SELECT correlation_id, causation_id, published_at IS NULL FROM outbox ORDER BY id")
    assert [(str(order), bool(waits)) for order, _, waits in rows] == [(A, False), (B, True)]
    assert str(rows[0][1]) == request.id


def test_know_one_know_all(participant: Participant) -> None:
    """The rooms of every participant have the same names, and none knows of sagas, steps or the other services."""
    (folder,) = import_module(f"{participant.name}_service").__path__
    rooms = {path.name: path.read_text() for path in Path(folder).glob("*.py")}
    assert {"domain.py", "handlers.py", "store.py", "service.py", "web.py", "__main__.py"} <= set(rooms)
    strangers = {"order", "payment", "inventory", "shipping"} - {participant.name}
    for name, text in rooms.items():
        for word in ("saga", "workflow", *(f"{each}_service" for each in strangers)):
            assert word not in text, f"{name} knows of {word}"
