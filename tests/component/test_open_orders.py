"""One customer's orders under way are bounded, so that nobody alone holds all stock and everybody's attention."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from order_service.fulfillment.workflow import newest
from order_service.group_commit import GroupCommit
from order_service.limits import OpenOrders
from order_service.placing import Outcome, Placed, Replayed, TooMany
from order_service.terms import flows
from shared.config import load
from tests.component.orders import Shop, wanted
from tests.component.test_order_api import Shop as Api


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    with closing(Shop(database_url)) as shop:
        yield shop


class HandTime:
    """Seconds that pass when they are told to."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_beyond_the_limit_no_order_is_placed_until_one_has_ended(shop: Shop) -> None:
    """Other customers go on, and what was placed before gets its answer again. The count is taken anew each second."""
    time = HandTime()
    group = GroupCommit(
        shop.database, shop.terms(), shop.clock, shop.notifier, open_orders=OpenOrders(2, monotonic=time)
    )

    def submit(key: str, customer: str = "alice") -> Outcome:
        return group.submit(wanted(key, customer=customer))

    with closing(group):
        first, second = submit("first"), submit("second")
        assert type(first) is type(second) is Placed
        assert submit("third") == TooMany()
        assert type(submit("first", "bob")) is Placed
        assert submit("first") == Replayed(first.order_id, first.response)
        shop.fulfill(first.order_id)
        time.seconds += 1
        assert type(submit("third")) is Placed
        assert submit("fourth") == TooMany()


def test_a_group_counts_its_own(shop: Shop) -> None:
    """Also those that come together with others in one transaction, each key once."""
    group, limit = [wanted(f"key {number % 4}") for number in range(6)], OpenOrders(3)
    with shop.database.batch() as connection:
        limit.look(connection)
        kept = [limit.let_in(each.customer_id) for each in group]
    assert kept == [True] * 3 + [False] * 3


def test_no_limit_counts_nothing(shop: Shop) -> None:
    """With 0 the database is not asked."""
    limit = OpenOrders(0)
    with shop.statements() as sent, shop.database.batch() as connection:
        limit.look(connection)
    assert sent == []
    assert all(limit.let_in("alice") for _ in range(5))


def test_the_api_says_so(tmp_path: object) -> None:
    """429, of a kind of its own, with a time to come back."""
    with closing(Api(f"sqlite:///{tmp_path}/order.db", OPEN_ORDERS="1")) as api:
        assert api.send(key="first").status_code == 202
        refused = api.send(key="second")
        assert refused.status_code == 429
        assert refused.json["type"].endswith("too-many-open-orders")
        assert refused.headers["Retry-After"]
        assert api.send(key="second", caller="bob").status_code == 202
        assert api.send(key="first").headers["Idempotent-Replayed"] == "true"


def test_how_long_an_approval_may_hold_stock_is_configured() -> None:
    """It is the patience of that step: two days, unless STEP_TIMEOUTS says otherwise."""
    told = flows(load(service="order", environ={"STEP_TIMEOUTS": "approval=3600"}))[1]
    assert newest().named["approval"].timeout.total_seconds() == 172_800
    assert told.named["approval"].timeout.total_seconds() == 3600
    assert told.named["approval"].attempts == 1
