"""A schema, a grant or a server that is not as it should be: no message is blamed, and all is worked later."""

import logging
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import make_url

from payment_service.service import SERVICE
from shared.bootstrap import system_topology
from shared.contracts import PaymentRequested
from shared.database import Database, SchemaMismatch, TransientError
from shared.messaging.brokers.embedded import Embedded
from shared.messaging.durability.maintenance import Maintenance
from shared.messaging.pace import Pace
from shared.messaging.worker import Worker
from tests.component.bench import Bench, order_id


def wanted(number: int) -> PaymentRequested:
    return PaymentRequested(order_id=order_id(number), amount=1999, currency="EUR", payment_token="tok_visa")


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    with closing(Bench(SERVICE, database_url)) as bench:
        yield bench


def run(database: Database, statement: str) -> None:
    with database.transaction() as connection:
        connection.exec_driver_sql(statement)


@pytest.mark.parametrize(
    ("break_it", "mend_it"),
    [
        ("payments RENAME COLUMN detail TO details", "payments RENAME COLUMN details TO detail"),
        ("payments RENAME TO payment", "payment RENAME TO payments"),
        ("inbox RENAME TO in_box", "in_box RENAME TO inbox"),
    ],
)
def test_a_worker_waits_for_the_migration_and_says_so(
    bench: Bench, caplog: pytest.LogCaptureFixture, break_it: str, mend_it: str
) -> None:
    """A column or a table that is missing: the batch is held, nothing is put aside, and the log names it."""
    broker = Embedded(system_topology())
    broker.connect("order").publish([bench.enclose(wanted(number)) for number in range(3)])
    maintenance = Maintenance(bench.service.tables, bench.database, bench.clock)
    worker = Worker("payment", bench.consumer, maintenance, broker, Pace())
    with Database(bench.database.url) as owner:
        run(owner, f"ALTER TABLE {break_it}")
        with caplog.at_level(logging.WARNING, "fulfillment.worker"):
            assert worker.round(0.0) > 0
        run(owner, f"ALTER TABLE {mend_it}")
    assert any(name in caplog.text for name in ("detail", "payments", "inbox"))
    assert bench.buried() == []
    for _ in range(10):
        worker.round(0.0)
    assert bench.rows("SELECT COUNT(*) FROM payments") == [(3,)]
    assert bench.buried() == []
    worker.finish(0.0)


def test_a_missing_grant_and_a_read_only_server_are_nobodys_fault(postgres_url: str) -> None:
    """As after a failover, or a deployment that forgot a GRANT."""
    with closing(Bench(SERVICE, postgres_url)) as bench:
        run(bench.database, "CREATE ROLE clerk LOGIN")
        try:
            run(bench.database, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO clerk")
            url = make_url(postgres_url).set(username="clerk").render_as_string(hide_password=False)
            deliveries = bench.deliveries([wanted(1)])
            for options, error in (("", SchemaMismatch), ("default_transaction_read_only=on", TransientError)):
                if options:
                    run(bench.database, f"ALTER ROLE clerk SET {options}")
                    run(bench.database, "GRANT ALL ON ALL TABLES IN SCHEMA public TO clerk")
                with Database(url) as database:
                    consumer = bench.another(bench.consumer.handling)
                    consumer.database = database
                    with pytest.raises(error) as caught:
                        consumer.work(deliveries)
                assert caught.value.code == ("25006" if options else "42501")
            assert bench.buried() == []
            assert len(bench.consumer.work(deliveries)) == 1
        finally:
            run(bench.database, "DROP OWNED BY clerk")
            run(bench.database, "DROP ROLE clerk")
