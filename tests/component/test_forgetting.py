"""Persons are forgotten: by themselves when their orders are old, at once when an operator says so; the books stay."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta

import msgspec
import pytest

from order_service.forgetting import Persons, Retention, StillOpen
from shared.bootstrap import system_topology
from shared.config import load
from shared.contracts import OrderForgotten
from shared.messaging.brokers.embedded import Embedded
from shared.messaging.durability.maintenance import Maintenance
from shared.messaging.notifier import Notifier
from shared.messaging.pace import Pace
from shared.messaging.worker import Worker
from tests.component.apps import ORDER
from tests.component.orders import NOON, SHIP_TO, Shop, wanted
from tests.component.participants import OTHER, PAYMENT, SHIPPING, A, B, Participant, Room
from tests.component.test_order_api import Shop as Api

NOWHERE = dict.fromkeys(SHIP_TO, "") | {"country": SHIP_TO["country"]}
DAYS = timedelta(days=1)
PERSONAL = ("Ångström", "High Street", "London", "tok_visa")
EVERYTHING = (
    "SELECT ship_to FROM orders UNION ALL SELECT facts FROM sagas UNION ALL SELECT response FROM idempotency_keys"
)


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    with closing(Shop(database_url)) as shop:
        yield shop


def personal(shop: Shop) -> set[str]:
    """What of a person is left in the order service's tables, but for messages that are yet to leave."""
    kept = "".join(str(row) for row in shop.rows(EVERYTHING))
    return {word for word in PERSONAL if word in kept}


def retained(shop: Shop, now: datetime, retention: Retention, most: int = 200) -> bool:
    with shop.database.batch() as connection:
        return retention(connection, now, most)


def persons(shop: Shop, notifier: Notifier | None = None) -> Persons:
    return Persons(database=shop.database, clock=shop.clock, notifier=notifier or shop.notifier, at_a_time=2)


def test_addresses_and_tokens_of_old_orders_are_removed(shop: Shop) -> None:
    """180 days after its last change an order tells no name, street, city or token any more, and says since when. Who
    bought what, for how much, and every line of its history stay."""
    (order,) = shop.placed()
    shop.fulfill(order)
    before, history = shop.find(order), shop.history(order)
    retention = Retention(180 * DAYS, 30 * DAYS)
    retained(shop, NOON + 179 * DAYS, retention)
    assert shop.find(order) == before
    now = NOON + 181 * DAYS
    retained(shop, now, retention)
    after = shop.find(order)
    assert (after.ship_to, after.forgotten_at, personal(shop)) == (NOWHERE, now, set())
    assert (after.customer_id, after.lines, after.total, after.version) == (
        *(before.customer_id, before.lines, before.total),
        before.version,
    )
    assert shop.history(order) == history
    assert after.saga.facts == before.saga.facts | {"ship_to": NOWHERE, "payment_token": ""}


def test_an_order_under_way_keeps_what_it_needs(shop: Shop) -> None:
    """However old it is, and it does not keep those behind it from being forgotten."""
    kept, done = shop.placed(wanted("kept"), wanted("done"))
    shop.fulfill(done)
    retention = Retention(DAYS, DAYS)
    assert not retained(shop, NOON + 900 * DAYS, retention)
    assert shop.find(kept).ship_to == SHIP_TO
    assert shop.find(kept).saga.facts["payment_token"] == "tok_visa"
    assert shop.find(done).ship_to == NOWHERE


def test_a_key_is_known_for_its_days(shop: Shop) -> None:
    """Until then it gets the same answer again; afterwards both are gone, and it makes a new order."""
    (order,) = shop.placed()
    retention = Retention(900 * DAYS, 30 * DAYS)
    retained(shop, NOON + 29 * DAYS, retention)
    assert shop.placed() == [order]
    retained(shop, NOON + 31 * DAYS, retention)
    assert shop.rows("SELECT count(*) FROM idempotency_keys") == [(0,)]
    assert shop.placed() != [order]


def test_what_is_old_goes_in_small_transactions(shop: Shop) -> None:
    """At most so many at a time, on and on, and it is said whether there are more."""
    orders = shop.placed(*(wanted(f"key {number}") for number in range(7)))
    shop.fulfill(*orders)
    retention = Retention(DAYS, 900 * DAYS)
    more, left = [], []
    for _ in range(4):
        more.append(retained(shop, NOON + 9 * DAYS, retention, most=3))
        left.append(sum(shop.find(order).forgotten_at is None for order in orders))
    assert (more, left) == ([True, True, False, False], [4, 1, 0, 0])


def test_a_worker_forgets_between_its_batches(shop: Shop) -> None:
    """It is one of a worker's chores, as configured by PERSONAL_DAYS and IDEMPOTENCY_DAYS."""
    shop.clock.moment = shop.clock.moment - 100 * DAYS
    (order,) = shop.placed()
    shop.fulfill(order)
    shop.clock.moment = NOON
    settings = load(service="order", environ={"PERSONAL_DAYS": "90", "IDEMPOTENCY_DAYS": "90"})
    handling = shop.service.handling(settings, shop.database)
    maintenance = Maintenance(shop.service.tables, shop.database, shop.clock, forget=handling.forget)
    worker = Worker("order", shop.another(handling), maintenance, Embedded(system_topology()), Pace())
    worker.turn(patience=0.0)
    worker.disconnect()
    assert personal(shop) == set()
    assert shop.find(order).forgotten_at == NOON


def test_a_customer_is_forgotten_at_once(shop: Shop) -> None:
    """Of all orders, and only of this customer's; the participants are told of each, once. Doing it again finds
    nothing to do."""
    mine = shop.placed(*(wanted(f"mine {number}") for number in range(5)))
    (other,) = shop.placed(wanted("bob's", customer="bob"))
    shop.fulfill(*mine, other)
    shop.publish()
    done = persons(shop).forget("alice")
    assert (done.orders, done.finished) == (5, True)
    assert [shop.find(order).ship_to for order in (*mine, other)] == [NOWHERE] * 5 + [SHIP_TO]
    assert shop.waiting() == ["order.forgotten"] * 5
    assert shop.rows("SELECT principal FROM idempotency_keys") == [("customer:bob",)]
    assert persons(shop).forget("alice").orders == 0
    assert shop.waiting() == ["order.forgotten"] * 5


def test_nobody_is_forgotten_while_orders_need_the_address(shop: Shop) -> None:
    """They are named, and nothing is removed, also from those that are done with."""
    under_way, done = shop.placed(wanted("under way"), wanted("done"))
    shop.fulfill(done)
    with pytest.raises(StillOpen) as refusal:
        persons(shop).forget("alice")
    assert refusal.value.order_ids == [under_way]
    assert shop.find(done).ship_to == SHIP_TO


class Broken(Notifier):
    """The process dies after its first commit."""

    def notify(self) -> None:
        raise KeyboardInterrupt


def test_what_a_crash_has_left_is_finished_by_asking_again(shop: Shop) -> None:
    """No order is forgotten here and not at the participants: both are in one transaction."""
    orders = shop.placed(*(wanted(f"key {number}") for number in range(5)))
    shop.fulfill(*orders)
    shop.publish()
    with closing(Broken(shop.database)) as broken, pytest.raises(KeyboardInterrupt):
        persons(shop, broken).forget("alice")
    forgotten = [order for order in orders if shop.find(order).forgotten_at]
    assert len(forgotten) == len(shop.waiting()) == 2
    assert persons(shop).forget("alice").orders == 3
    assert personal(shop) == set()
    assert shop.waiting() == ["order.forgotten"] * 5


PERSONS = {"payment": "SELECT token FROM payments", "shipping": "SELECT ship_to FROM shipments"}
GONE = {"payment": "", "shipping": None}


@pytest.fixture(params=[PAYMENT, SHIPPING], ids=lambda each: each.name)
def room(request: pytest.FixtureRequest, database_url: str) -> Iterator[Room]:
    participant: Participant = request.param
    with closing(Room(participant, database_url)) as room:
        yield room


def of_persons(room: Room) -> list[object]:
    return [each for (each,) in room.rows(f"{PERSONS[room.participant.name]} ORDER BY order_id")]


def test_participants_forget_what_they_are_told_to(room: Room) -> None:
    """Nothing else changes, whoever asks again hears the same, what is still to be done is done, and what they were
    never asked for they need not forget."""
    said = room.deliver(room.participant.request(A), room.participant.request(B))
    before = room.rows(room.participant.statuses), room.rows(room.participant.books)
    assert room.deliver(OrderForgotten(order_id=A), OrderForgotten(order_id=A), OrderForgotten(order_id=OTHER)) == []
    assert [each == GONE[room.participant.name] for each in of_persons(room)] == [True, False]
    assert (room.rows(room.participant.statuses), room.rows(room.participant.books)) == before
    assert room.deliver(room.participant.request(A)) == said[:1]
    (finished,) = room.deliver(room.participant.finish(said[0]))
    assert isinstance(finished, room.participant.finished)
    assert room.buried() == []


def test_participants_forget_by_themselves(room: Room) -> None:
    """What has not moved for as long as PERSONAL_DAYS says, a few at a time; the rest stays."""
    room.deliver(room.participant.request(A), room.participant.request(B))
    settings = load(service=room.participant.name, environ={"PERSONAL_DAYS": "30"})
    forget = room.service.handling(settings, room.database).forget
    more = []
    for days in (29, 31, 31, 31):
        with room.database.batch() as connection:
            more.append(forget(connection, room.now() + days * DAYS, 1))
    assert more == [False, True, True, False]
    assert of_persons(room) == [GONE[room.participant.name]] * 2


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with closing(Api(database_url)) as api:
        yield api


def test_an_operator_has_a_customer_forgotten(api: Api) -> None:
    """Customers may not; while an order is under way the answer is 409 and names it; then it says what it did, and the
    order tells no address any more."""
    order = api.place()
    path = "/customers/alice/forget"
    assert api.post(path, caller="alice").status_code == 403
    refused = api.post(path)
    assert refused.status_code == 409
    assert order in refused.json["detail"]
    api.settle(order)
    assert api.post(path).json == {"customer_id": "alice", "orders": 1, "finished": True}
    shown = api.get(f"/orders/{order}", "alice").json
    assert shown["ship_to"] == dict.fromkeys(ORDER["ship_to"], "") | {"country": "GB"}
    assert shown["forgotten_at"]
    assert api.post("/customers/operator:operator/forget").json["orders"] == 0
    assert [api.post(f"/customers/{name}/forget").status_code for name in ("no one", "a:b", "customer:alice")] == [
        404
    ] * 3


def test_an_event_of_a_forgotten_order_is_still_understood(shop: Shop) -> None:
    """A late answer is noted in its history, as ever."""
    (order,) = shop.placed()
    shop.fulfill(order)
    persons(shop).forget("alice")
    again = shop.history(order)[-1]
    shop.fulfill(order)
    assert shop.buried() == []
    assert shop.find(order).version > again["seq"]
    assert msgspec.to_builtins(shop.find(order).ship_to) == NOWHERE
