"""docs/contracts.md: an event is carried through a change of its version, old and new side by side."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from msgspec import Struct

from payment_service.service import SERVICE
from shared import bounds, contracts
from shared.asyncapi import data_schema
from shared.compatibility import breaks
from shared.ids import uuid7
from shared.messaging.brokers.rabbitmq.bundle import delivered
from shared.messaging.envelope import Envelope, Reader, Unreadable, enclose, versions
from shared.messaging.handling import Handling
from tests.component.bench import Bench, order_id
from tests.parcels import as_sent

PAGE = (Path(__file__).parents[2] / "docs" / "contracts.md").read_text()
RELEASED, MORE, SECOND = "as released", "a field more", "version 2"
DEAD = "unsupported_version: payment.declined version 2"


class PaymentEvent(Struct, frozen=True, kw_only=True):
    """As the contracts have it, where the classes of this page would be taken for events that are really said."""

    producer: ClassVar[str] = "payment"
    version: ClassVar[int] = 1

    order_id: bounds.OrderId


def declared(step: str) -> type[Any]:
    """The event as this step of the page declares it."""
    (code,) = re.findall(rf"```python {step}\n(.+?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {"PaymentEvent": PaymentEvent, "bounds": bounds, "ClassVar": ClassVar, "Any": Any}
    exec(code, names)
    kind: type[Any] = names["PaymentDeclined"]
    return kind


KINDS: dict[str, type[Any]] = {
    RELEASED: contracts.PaymentDeclined,
    MORE: declared("a-field-more"),
    SECOND: declared("version-2"),
}
WRITTEN: dict[str, dict[str, str]] = {RELEASED: {}, MORE: {"code": "no_money"}, SECOND: {"code": "no_money"}}


def written(writer: str, number: int = 1) -> Envelope:
    """An event of this writer as it arrives from the wire."""
    message = KINDS[writer](order_id=order_id(number), detail="no money", **WRITTEN[writer])
    properties, body = as_sent(enclose(message, at=datetime(2026, 11, 28, tzinfo=UTC), new_id=uuid7))
    (envelope,) = delivered(properties, body, producer="payment", service="order", largest=9_999)
    return envelope


@pytest.mark.parametrize("writer", KINDS)
@pytest.mark.parametrize("reader", KINDS)
def test_old_and_new_meet_as_the_page_says(writer: str, reader: str) -> None:
    """Each writer's event is read by each reader as its own, or is refused by name, as the table of the page has it."""
    (row,) = re.findall(
        rf"^\| \*\*written (?:with |as )?{writer.removeprefix('as ')}\*\* \| (.+) \|$", PAGE, re.MULTILINE
    )
    says = row.split(" | ")[list(KINDS).index(reader)]
    read = Reader({"payment.declined": KINDS[reader]}, largest_body=9_999)
    if says == "dead letter":
        with pytest.raises(Unreadable, match=DEAD):
            read.open(written(writer))
        return
    message = read.open(written(writer))
    assert type(message) is KINDS[reader]
    assert (message.order_id, message.detail) == (order_id(1), "no money")
    codes = {"`code` is None": None, "`code` is `unknown`": "unknown", "as it is": WRITTEN[writer].get("code")}
    if says == "`code` is ignored":
        assert not hasattr(message, "code")
    else:
        assert getattr(message, "code", None) == codes[says]


class Heard:
    """A unit of work that remembers what it was given."""

    cause: Envelope | None = None

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def flush(self) -> None:
        """There is nothing to be written."""

    def handling(self, kind: type[Any]) -> Handling:
        return Handling(handlers={kind: lambda message, _: self.messages.append(message)}, load=lambda *_: self)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(SERVICE, f"sqlite:///{tmp_path}/reader.db")
    yield bench
    bench.close()


def test_what_was_too_new_is_worked_after_the_update(bench: Bench) -> None:
    """An old reader keeps a new version among its dead letters and works the others of the batch; updated and asked to
    replay, it works that one too, and what still lies in the queue of the old version as well."""
    letters, now, old, new = SERVICE.tables.dead_letters, bench.now(), Heard(), Heard()
    bench.another(old.handling(KINDS[RELEASED])).work(
        bench.deliveries([written(RELEASED, 1), written(SECOND, 2), written(MORE, 3)])
    )
    assert [each.order_id for each in old.messages] == [order_id(1), order_id(3)]
    (why,) = bench.buried()
    assert why.startswith(DEAD)
    with bench.database.transaction() as connection:
        assert len(letters.replay(connection, None, now=now, new_id=uuid7)) == 1
    with bench.database.reading() as connection:
        again = letters.to_replay(connection, 10)
    bench.another(new.handling(KINDS[SECOND])).work([*again, *bench.deliveries([written(RELEASED, 4)])])
    assert [(each.order_id, each.code) for each in new.messages] == [
        (order_id(2), "no_money"),
        (order_id(4), "unknown"),
    ]
    assert bench.buried() == []


def events(kind: type[Any]) -> dict[str, Any]:
    """As much of an AsyncAPI document as is compared."""
    schemas = {f"payment.declined.v{each.version}": data_schema(each) for each in versions(kind)}
    return {"channels": {}, "components": {"schemas": schemas}}


def test_the_check_lets_both_steps_pass() -> None:
    """A field more and a further version break nobody; a version that is not read any more does."""
    steps = [events(KINDS[each]) for each in (RELEASED, MORE, SECOND)]
    assert breaks(steps[0], steps[1]) == breaks(steps[1], steps[2]) == breaks(steps[0], steps[2]) == []
    del steps[2]["components"]["schemas"]["payment.declined.v1"]
    assert breaks(steps[0], steps[2]) == ["payment.declined.v1: is not read any more"]
