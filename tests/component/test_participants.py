"""Know one, know all: the promises that every participant keeps, proved for all three by the same tests."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared import contracts as c
from shared.database import TransientError
from shared.http.serve import end
from tests.component.apps import application, bearer
from tests.component.bench import order_id
from tests.component.participants import INVENTORY, LINES, OTHER, PAYMENT, SHIPPING, A, B, Participant, Room, address


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
    said.sort(key=lambda fact: str(fact.order_id))
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


def test_a_failing_handler_harms_no_order_that_is_known(room: Room, participant: Participant) -> None:
    """Of a batch whose undo of another order fails, only that is put aside; what is asked of known orders is done."""
    (success,) = room.deliver(participant.request(A))
    handling = room.consumer.handling

    def fail(_request: Any, _work: Any) -> None:
        raise RuntimeError("this cannot be undone")

    handlers = {**handling.handlers, type(participant.undo(B)): fail}
    room.consumer = room.another(replace(handling, handlers=handlers))
    said = room.deliver(participant.undo(B), participant.request(A), participant.finish(success))
    assert [type(each) for each in said] == [participant.success, participant.finished]
    assert room.buried() == ["failed: RuntimeError: this cannot be undone"]


@pytest.mark.parametrize("wanted", ["payments", "reservations", "shipments"])
def test_an_operator_sees_what_became_of_an_order(wanted: str, database_url: str) -> None:
    """The API of each participant shows the order that it has worked, with its status."""
    participant = {"payments": PAYMENT, "reservations": INVENTORY, "shipments": SHIPPING}[wanted]
    room = Room(participant, database_url)
    room.deliver(participant.request(A))
    app = application(participant.name, database_url)
    found = app.test_client().get(f"/{wanted}/{A}", headers=bearer("operator"))
    assert found.status_code == 200
    assert found.json["order_id"] == A
    assert [(A, found.json["status"])] == [(str(order), status) for order, status in room.rows(participant.statuses)]
    end(app)
    room.close()


def test_a_batch_is_as_one_by_one(participant: Participant, new_database: Callable[[], str]) -> None:
    """Sixty orders that are asked, refused, undone and asked again end the same in one batch as one by one, and the
    last word on each order is the same."""
    scripts = []
    for number in range(60):
        ask, undo = participant.hopeless if number % 7 == 3 else participant.request, participant.undo
        words = [[ask], [ask, ask], [ask, undo], [undo, ask], [undo]][number % 5]
        scripts.append([make(order_id(number)) for make in words])
    messages = [each for turn in zip_longest(*scripts) for each in turn if each]  # the orders take turns

    with (
        closing(Room(participant, new_database())) as together,
        closing(Room(participant, new_database())) as singly,
    ):
        said = together.deliver(*messages)
        alone = [fact for message in messages for fact in singly.deliver(message)]
        for query in (participant.statuses, participant.books):
            assert together.rows(query) == singly.rows(query)
        assert {each.order_id: each for each in said} == {each.order_id: each for each in alone}
        assert len(said) == len(alone) == len(messages)


@dataclass
class Interrupted:
    """A unit of work during which the database goes away, after all its writing."""

    work: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.work, name)

    def flush(self) -> None:
        self.work.flush()
        raise TransientError("the database is away")


def test_a_batch_is_done_or_not_done_at_all(room: Room, participant: Participant) -> None:
    """When the database goes away before the commit, nothing of the batch is there; worked again, all of it is."""
    deliveries = room.deliveries([participant.request(A), participant.request(B)])
    before, handling = room.state(), room.consumer.handling
    weather = room.another(replace(handling, load=lambda *words: Interrupted(handling.load(*words))))
    with pytest.raises(TransientError):
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
