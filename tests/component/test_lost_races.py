"""Two workers that write the same row: who comes second decides again, and no message is blamed for it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from payment_service.handlers import HANDLERS
from payment_service.service import SERVICE
from payment_service.store import Payments
from shared.contracts import PaymentRequested
from shared.database import RowsChanged
from tests.component.bench import Bench, order_id, persist


def wanted(number: int) -> PaymentRequested:
    return PaymentRequested(order_id=order_id(number), amount=1999, currency="EUR", payment_token="tok_visa")


@pytest.fixture
def bench(postgres_url: str) -> Iterator[Bench]:
    with closing(Bench(SERVICE, postgres_url)) as bench:
        yield bench


def test_a_lost_race_is_no_fault_of_a_message_whose_batch_holds_poison(bench: Bench) -> None:
    """While each is worked alone, another worker writes the same payment first: the batch is worked again, and only
    the poison is put aside."""
    runs = 0

    def raced(request: Any, payments: Payments) -> Any:
        nonlocal runs
        if request.order_id == order_id(2):
            raise RuntimeError("poison")
        runs += 1
        if runs == 2:  # each is worked alone now; the row was not there when it was looked for
            with ThreadPoolExecutor(1) as thread, closing(Bench(SERVICE, bench.database.url)) as other:
                assert len(thread.submit(other.deliver, wanted(1)).result(30)) == 1
        return HANDLERS[type(request)](request, payments)

    handling = replace(bench.consumer.handling, handlers=dict.fromkeys(HANDLERS, raced), calls={})
    consumer, deliveries = bench.another(handling), bench.deliveries([wanted(1), wanted(2)])
    with pytest.raises(RowsChanged):
        consumer.work(deliveries)
    assert bench.buried() == []
    persist(consumer, deliveries)
    assert bench.buried() == ["failed: RuntimeError: poison"]
    assert bench.rows("SELECT version FROM payments") == [(2,)]
