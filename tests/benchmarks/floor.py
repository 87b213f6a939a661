"""What the servers cost anybody: an order's twelve messages by bare pika, its rows by bare psycopg in batches.

    python -m tests.benchmarks.floor --orders 4000 --rounds 3

No decisions are taken and nothing waits for anything; all four services do their share at once, in a process each.
"""

import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import click
import pika
import psycopg
from pika.adapters.select_connection import IOLoop

from shared.database import Database
from shared.messaging.envelope import uuid7
from shared.messaging.rabbitmq import RabbitMQ
from shared.messaging.rabbitmq.link import Link
from shared.migrate import migrate
from shared.process import system_topology
from shared.service import services
from tests.benchmarks.measure import machine
from tests.benchmarks.servers import Servers

BATCH = 200
WINDOW = 2 * BATCH  # messages unconfirmed or unacknowledged
BODY = json.dumps({"order_id": str(uuid7(datetime.now(UTC))), "amount": 2490, "currency": "EUR", "token": "tok_visa"})
TRACE = f"00-{'ab' * 16}-{'cd' * 8}-01"
SAGA = json.dumps([{"status": "requested", "attempts": 1, "at": "2026-11-21T10:00:00.000000+00:00"}] * 7)
LINES = '[{"sku": "POPULAR-LAMP", "name": "Lamp", "quantity": 1, "unit_price": 2490, "line_total": 2490}]'
ADDRESS = '{"name": "Ada Lovelace", "line1": "12 Analytical Row", "city": "Berlin", "country": "DE"}'

# What each service publishes for an order; all of it is heard by the other side.
SAYS = {
    "order": ("payment.requested", "stock.requested", "shipment.requested", "capture.requested",
              "stock.issue_requested", "dispatch.requested"),
    "payment": ("payment.authorized", "payment.captured"),
    "inventory": ("stock.reserved", "stock.issued"),
    "shipping": ("shipment.booked", "shipment.dispatched"),
}  # fmt: skip
HEARS = {name: 6 if name == "order" else 2 for name in SAYS}

# Rows. %(o)s: ids of a batch of orders, %(m)s: as many new message ids; every list of statements is one transaction.
HEARD = "INSERT INTO inbox SELECT m, now(), 1 FROM unnest(%(m)s::uuid[]) m"
MARK = "UPDATE outbox SET published_at = now() WHERE id = ANY(%(before)s::uuid[])"


def said(kind: str, producer: str) -> str:
    return f"""
        INSERT INTO outbox SELECT gen_random_uuid(), '{kind}', 1, '{producer}', o, m, now(), '{TRACE}', '{BODY}',
            now() + interval '5 s', NULL
        FROM unnest(%(o)s::uuid[], %(m)s::uuid[]) x (o, m) RETURNING id"""


def history(seq: int) -> str:
    return f"""
        INSERT INTO saga_history SELECT o, {seq}, now(), 'payment.authorized', m, 'payment', 'payment', 'acted', NULL,
            '["shipment.requested"]', 'pending', 'confirmed' FROM unnest(%(o)s::uuid[], %(m)s::uuid[]) x (o, m)"""


def moved(table: str, kind: str) -> str:
    return f"INSERT INTO {table} SELECT o, '{kind}', 2490, now() FROM unnest(%(o)s::uuid[]) o"


def told(table: str, kind: str) -> str:
    return f"""
        INSERT INTO {table} SELECT '{kind}:' || o, 'party', o, '{kind}', 2490, true, 'an answer', 1, now()
        FROM unnest(%(o)s::uuid[]) o"""


def turned(table: str, status: str) -> str:
    return f"""
        UPDATE {table} SET status = '{status}', version = version + 1, updated_at = now()
        WHERE order_id = ANY(%(o)s::uuid[])"""


def goods(on_hand: int, reserved: int) -> str:
    return (
        f"UPDATE stock SET on_hand = on_hand + {on_hand}, reserved = reserved + {reserved} WHERE sku = 'POPULAR-LAMP'"
    )


def stock_moved(kind: str) -> str:
    return f"INSERT INTO stock_movements SELECT o, 'POPULAR-LAMP', '{kind}', 1, now() FROM unnest(%(o)s::uuid[]) o"


PLACE = [
    f"""INSERT INTO idempotency_keys SELECT 'customer:alice', '/orders', o::text, '{"b" * 64}', o, '{LINES * 8}'
        FROM unnest(%(o)s::uuid[]) o""",
    f"""INSERT INTO orders SELECT o, 'alice', '{LINES}', 2490, 'EUR', '{ADDRESS}', now(), 'pending', NULL, NULL, false
        FROM unnest(%(o)s::uuid[]) o""",
    f"""INSERT INTO sagas SELECT o, 1, '{BODY}', '{SAGA}', false, NULL, NULL, false, now() + interval '30 s', 1, now()
        FROM unnest(%(o)s::uuid[]) o""",
    history(1),
]
MOVE = f"""UPDATE sagas SET steps = '{SAGA}', version = version + 1, wake_at = now() + interval '30 s',
        updated_at = now() WHERE order_id = ANY(%(o)s::uuid[])"""
MORE = {2: SAYS["order"][2:3], 3: SAYS["order"][3:4], 4: SAYS["order"][4:]}  # asked when the second … fact is heard
STATUS = {2: "confirmed", 4: "paid", 6: "fulfilled"}
ORDER = [[*PLACE, *(said(kind, "order") for kind in SAYS["order"][:2])]]
for number in range(1, 7):
    statements = [MARK, HEARD, MOVE, history(number + 1), *(said(kind, "order") for kind in MORE.get(number, ()))]
    if number in STATUS:
        statements.append(f"UPDATE orders SET status = '{STATUS[number]}' WHERE id = ANY(%(o)s::uuid[])")
    ORDER.append(statements)
ROWS = {
    "order": ORDER,
    "payment": [
        [HEARD, """INSERT INTO payments SELECT o, 'authorized', 2490, 'EUR', 'tok_visa', 'auth-' || o, NULL, false,
            false, 2490, 0, 0, 0, 1, now(), now() FROM unnest(%(o)s::uuid[]) o""",
         moved("payment_movements", "authorized"), told("card_network_books", "authorize"),
         said("payment.authorized", "payment")],
        [MARK, HEARD, turned("payments", "captured"), moved("payment_movements", "captured"),
         told("card_network_books", "capture"), said("payment.captured", "payment")],
    ],
    "inventory": [
        [HEARD, """INSERT INTO reservations SELECT o, 'reserved', '{"POPULAR-LAMP": 1}', NULL, 1, now(), now()
            FROM unnest(%(o)s::uuid[]) o""", goods(0, BATCH), stock_moved("reserve"),
         said("stock.reserved", "inventory")],
        [MARK, HEARD, turned("reservations", "issued"), goods(-BATCH, -BATCH), stock_moved("issue"),
         said("stock.issued", "inventory")],
    ],
    "shipping": [
        [HEARD, f"""INSERT INTO shipments (order_id, status, ship_to, cancelling, carriers, intents, carrier,
            tracking_number, version, created_at, updated_at) SELECT o, 'booked', '{ADDRESS}', false, '["parcel"]', 1,
            'parcel', 'T123456789', 1, now(), now() FROM unnest(%(o)s::uuid[]) o""", told("carrier_books", "book"),
         said("shipment.booked", "shipping")],
        [MARK, HEARD, turned("shipments", "dispatched"), told("carrier_books", "dispatch"),
         said("shipment.dispatched", "shipping")],
    ],
}  # fmt: skip


def keep_rows(url: str, service: str, orders: int) -> None:
    """Write all rows that a service writes for so many orders, one transaction a batch and phase."""
    now = datetime.now(UTC)
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True, prepare_threshold=0) as connection:
        for first in range(0, orders, BATCH):
            ids = [uuid7(now) for _ in range(first, min(first + BATCH, orders))]
            before: list[str] = []
            for phase in ROWS[service]:
                given = {"o": ids, "m": [uuid7(now) for _ in ids], "before": before}
                with connection.pipeline(), connection.transaction():  # one round trip
                    answers = [connection.execute(statement, given) for statement in phase]  # type: ignore[arg-type]
                returned = [answer.fetchall() for answer in answers if answer.description]
                before = [row[0] for row in chain.from_iterable(returned)]
            connection.execute(MARK, {"before": before})


class Messages:
    """One service's share of the messages, by one connection to publish and one to consume, in one thread."""

    def __init__(self, url: str, service: str, orders: int) -> None:
        self._says, self._inbox, self._exchange = SAYS[service], f"{service}.inbox", f"{service}.events"
        self._to_say, self._to_hear = orders * len(self._says), orders * HEARS[service]
        self._published = self._heard = 0
        self._unconfirmed: dict[int, None] = {}  # tags, the oldest first
        self._loop = IOLoop()
        parameters = pika.URLParameters(url)
        self._out = Link(parameters, on_open_callback=self._opened_out, custom_ioloop=self._loop)
        self._in = Link(parameters, on_open_callback=self._opened_in, custom_ioloop=self._loop)

    def run(self) -> None:
        self._loop.call_later(0, self._turn)
        self._loop.start()

    def _turn(self) -> None:
        self._out.flush()
        self._in.flush()
        if self._published == self._to_say and not self._unconfirmed and self._heard >= self._to_hear:
            self._loop.stop()
        else:
            self._loop.call_later(0.001, self._turn)

    def _opened_out(self, connection: Any) -> None:
        def ready(channel: Any) -> None:
            self._channel = channel
            channel.confirm_delivery(self._on_confirm, callback=lambda frame: self._publish())

        connection.channel(on_open_callback=ready)

    def _opened_in(self, connection: Any) -> None:
        def ready(channel: Any) -> None:
            channel.basic_qos(prefetch_count=WINDOW, callback=lambda frame: self._consume(channel))

        connection.channel(on_open_callback=ready)

    def _consume(self, channel: Any) -> None:
        channel.basic_consume(self._inbox, self._on_message)

    def _publish(self) -> None:
        while self._published < self._to_say and len(self._unconfirmed) < WINDOW:
            kind = self._says[self._published % len(self._says)]
            headers = {"version": 1, "producer": "order", "causation_id": BODY[14:50], "traceparent": TRACE,
                       "occurred_at": "2026-11-21T10:00:00.000000+00:00"}  # fmt: skip
            properties = pika.BasicProperties(
                content_type="application/json", delivery_mode=2, type=kind, headers=headers,
                message_id=f"{self._published:036}", correlation_id=BODY[14:50], timestamp=1_795_000_000,
            )  # fmt: skip
            self._channel.basic_publish(self._exchange, kind, BODY.encode(), properties, mandatory=True)
            self._published += 1
            self._unconfirmed[self._published] = None

    def _on_confirm(self, frame: Any) -> None:
        assert isinstance(frame.method, pika.spec.Basic.Ack)
        tag = frame.method.delivery_tag
        if frame.method.multiple:
            while self._unconfirmed and (oldest := next(iter(self._unconfirmed))) <= tag:
                del self._unconfirmed[oldest]
        else:
            del self._unconfirmed[tag]
        self._publish()

    def _on_message(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self._heard += 1
        if self._heard % 100 == 0 or self._heard >= self._to_hear:
            channel.basic_ack(method.delivery_tag, multiple=True)


def send_messages(url: str, service: str, orders: int) -> None:
    Messages(url, service, orders).run()


Part = tuple[Callable[[str, str, int], None], str, str]  # what to run, the address it needs, the service


def child(part: Part, orders: int, start: Any, used: Any) -> None:
    work, url, service = part
    start.wait()
    began = time.process_time()
    work(url, service, orders)
    used.put(time.process_time() - began)


def run(servers: Servers, parts: Sequence[Part], orders: int) -> dict[str, Any]:
    """All parts at once, each in a process; orders per second until the last has ended, CPU milliseconds an order."""
    context = multiprocessing.get_context("fork")
    start, used = context.Barrier(len(parts) + 1), context.Queue()
    processes = [context.Process(target=child, args=(part, orders, start, used), daemon=True) for part in parts]
    for process in processes:
        process.start()
    start.wait()
    before, began = servers.cpu_seconds(), time.monotonic()
    python = sum(used.get(timeout=120) for _ in parts)
    seconds = time.monotonic() - began
    for process in processes:
        process.join()
    cpu = {name: 1000 * (after - before[name]) / orders for name, after in servers.cpu_seconds().items()}
    return {"per_second": orders / seconds, **cpu, "python": 1000 * python / orders}


def prepare(servers: Servers) -> tuple[list[Part], list[Part]]:
    """Empty tables and queues as the services have them; what sends the messages, and what keeps the rows."""
    broker = servers.broker_url("floor")
    RabbitMQ(broker).provision(system_topology(), settle=0.1)
    rows: list[Part] = []
    for name, service in services().items():
        url = servers.database_url(f"floor-{name}")
        database = Database(url)
        migrate(service, database)
        database.dispose()
        rows.append((keep_rows, url, name))
        if name == "inventory":
            with psycopg.connect(url.replace("+psycopg", "")) as connection:
                connection.execute("UPDATE stock SET on_hand = 1000000000")
    return [(send_messages, broker, name) for name in SAYS], rows


def show(measured: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    for name, rounds in measured.items():
        medians = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        rate = medians.pop("per_second")
        split = " + ".join(f"{part} {each:.2f}" for part, each in medians.items())
        every = "/".join(f"{each['per_second']:.0f}" for each in rounds)
        click.echo(f"{name:14} {rate:7.0f} orders/s ({every})   CPU {sum(medians.values()):.2f} ms/order = {split}")


@click.command()
@click.option("--orders", default=4000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(orders: int, rounds: int) -> None:
    """Messages alone, rows alone, and both at once, in turn."""
    measured: dict[str, list[dict[str, Any]]] = {"messages": [], "rows": [], "both at once": []}
    with Servers() as servers:
        click.echo(json.dumps({"machine": machine() | servers.versions()}))
        for number in range(rounds):
            for name, chosen in measured.items():
                messages, rows = prepare(servers)
                parts = {"messages": messages, "rows": rows}.get(name, messages + rows)
                chosen.append(run(servers, parts, orders))
                click.echo(json.dumps({"round": number + 1, "part": name, **chosen[-1]}))
    show(measured)


if __name__ == "__main__":
    main()
