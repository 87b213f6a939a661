"""Real workers on a real RabbitMQ: what they cannot read, and how they share a queue."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from payment_service.service import SERVICE as PAYMENT
from shared.bootstrap import build_worker, pace_from, system_topology
from shared.config import load
from shared.database import Database
from shared.ids import uuid7
from shared.messaging.broker import Delivery
from shared.messaging.brokers.rabbitmq import RabbitMQ
from shared.messaging.envelope import BEGINNING, Envelope, enclose
from shared.messaging.topology import inbox_of
from shared.messaging.worker import Worker
from shared.migrate import migrate
from shared.service import Service, services
from tests.component.bench import Bench
from tests.component.test_consumer import wanted
from tests.parcels import as_sent

EXAMPLES = Path(__file__).parents[2] / "shared" / "examples"
BODY_LIMIT = 2_000


@pytest.fixture
def channel(broker_url: str) -> Iterator[BlockingChannel]:
    """A provisioned broker, as somebody sees it who may publish anything anywhere."""
    RabbitMQ(broker_url).provision(system_topology(), settle=0)
    connection = pika.BlockingConnection(pika.URLParameters(broker_url))
    yield connection.channel()
    connection.close()


def waiting(channel: BlockingChannel, service: str) -> int:
    """How many messages lie in a service's inbox, held by nobody."""
    count: int = channel.queue_declare(inbox_of(service), passive=True).method.message_count
    return count


def until(what: str, happens: Callable[[], Any], patience: float = 120) -> None:
    deadline = time.monotonic() + patience
    while not happens():
        assert time.monotonic() < deadline, f"not {what}"
        time.sleep(0.05)


@contextmanager
def working(*workers: Worker) -> Iterator[None]:
    """Each worker on a thread of its own, until the block ends; then it finishes what it has in hand."""
    stop = threading.Event()
    threads = [threading.Thread(target=worker.run, args=(stop,)) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for worker, thread in zip(workers, threads, strict=True):
            worker.wake()
            thread.join(120)
            assert not thread.is_alive()


def worker_of(service: Service, database: Database, broker_url: str, **variables: str) -> Worker:
    settings = load(service=service.name, environ=variables)
    broker = RabbitMQ(broker_url, bundle=settings.bundle_limit)
    return build_worker(service, settings, database, broker, pace_from(settings))


def spoiled(service: str) -> dict[str, tuple[str, dict[str, Any], bytes]]:
    """Messages that this service cannot read, by the reason: exchange, properties and body each."""
    handled = sorted(each.type for each in services()[service].handlers)
    example = json.loads((EXAMPLES / f"{handled[0]}.v1.json").read_text())
    exchange, properties, sound = example["exchange"], example["properties"] | {"user_id": "guest"}, example["body"]

    def altered(number: int, user: str | None = "guest", **changes: Any) -> tuple[str, dict[str, Any], bytes]:
        message_id = f"0192d2f0-9999-7000-8000-{number:012x}"
        body = json.dumps(sound | {"id": message_id} | changes).encode()
        return exchange, properties | {"message_id": message_id, "user_id": user}, body

    schema = sound["dataschema"].rpartition(":")[0]
    return {
        "unknown_type": altered(1, type="lamp.polished", dataschema="urn:order-fulfillment:lamp.polished:1"),
        "unsupported_version": altered(2, dataschema=f"{schema}:99"),
        "malformed": altered(3, data={"order_id": 7}),
        "content_type": altered(4, datacontenttype="application/xml", data="<order/>"),
        "oversized": altered(5, data=sound["data"] | {"more": " " * 2 * BODY_LIMIT}),
        "forged_sender": altered(6, user=None),
    }


@pytest.mark.parametrize("name", ["inventory", "order", "payment", "shipping"])
def test_what_a_service_cannot_read_is_in_its_own_dead_letters(
    name: str, channel: BlockingChannel, broker_url: str, tmp_path: Path
) -> None:
    """Unknown type or version, malformed, of another content type, larger than BODY_LIMIT, from nobody: each is kept
    once with its reason, nothing of it is delivered again, and nothing of it is heard by anybody else."""
    service = services()[name]
    database = Database(f"sqlite:///{tmp_path}/{name}.db")
    migrate(service, database)
    letters = spoiled(name)
    key = sorted(each.type for each in service.handlers)[0]
    for exchange, properties, body in letters.values():
        channel.basic_publish(exchange, key, body, pika.BasicProperties(**properties))

    def found() -> list[dict[str, Any]]:
        with database.reading() as connection:
            return [dict(row) for row in service.tables.dead_letters.find(connection)]

    with working(worker_of(service, database, broker_url, BODY_LIMIT=str(BODY_LIMIT))):
        until("in the dead letters", lambda: len(found()) == len(letters))
    by_id = {row["message_id"]: row for row in found()}
    assert len(by_id) == len(letters)
    for reason, (_, properties, body) in letters.items():
        row, said = by_id[properties["message_id"]], json.loads(body)
        assert row["reason"].startswith(f"{reason}: ")
        assert row["state"] == "parked"
        data = json.dumps(said["data"]).encode()
        kept = data[:BEGINNING] if reason == "oversized" else data
        assert (bytes(row["body"]), row["size"], row["type"]) == (kept, len(data), said["type"])
    assert [waiting(channel, each) for each in services()] == [0, 0, 0, 0]
    database.dispose()


class Counted:
    """A worker's consumer that notes how many messages it was given."""

    def __init__(self, consumer: Any) -> None:
        self.consumer, self.given = consumer, 0

    def work(self, deliveries: list[Delivery], published: Any = ()) -> list[Envelope]:
        self.given += len(deliveries)
        said: list[Envelope] = self.consumer.work(deliveries, published)
        return said

    def __getattr__(self, name: str) -> Any:
        return getattr(self.consumer, name)


def test_workers_of_a_service_share_its_queue(channel: BlockingChannel, broker_url: str, postgres_url: str) -> None:
    """Of 1,000 requests that come in while four workers listen, each is worked by one of them; all four have some."""
    bench = Bench(PAYMENT, postgres_url)
    settings = {"BATCH_LIMIT": "20", "BUNDLE_LIMIT": "1"}  # so that a queue counts events
    workers = [worker_of(PAYMENT, bench.database, broker_url, **settings) for _ in range(4)]
    shares = [Counted(worker.consumer) for worker in workers]
    for worker, share in zip(workers, shares, strict=True):
        worker.consumer = share  # type: ignore[assignment]
    with working(*workers):
        inbox = inbox_of("payment")
        until("consumed by four", lambda: channel.queue_declare(inbox, passive=True).method.consumer_count == 4)
        for number in range(1_000):
            request = enclose(wanted(number), at=bench.now(), new_id=uuid7)
            properties, body = as_sent(request)
            channel.basic_publish(
                "order.events", request.type, body, pika.BasicProperties(**properties, user_id="guest")
            )
        until("answered", lambda: waiting(channel, "order") >= 1_000)
    assert sum(share.given for share in shares) == 1_000
    assert all(share.given for share in shares)
    assert bench.rows("SELECT COUNT(*), MAX(deliveries) FROM inbox") == [(1_000, 1)]
    assert bench.rows("SELECT status, COUNT(*) FROM payments GROUP BY status") == [("authorized", 1_000)]
    assert bench.rows("SELECT COUNT(*) FROM outbox WHERE published_at IS NULL") == [(0,)]
    assert bench.rows("SELECT COUNT(*) FROM outbox") == [(1_000,)]  # on a slow machine some are published twice
    assert waiting(channel, "payment") == 0
    bench.close()
