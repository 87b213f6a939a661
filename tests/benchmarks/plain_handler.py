"""The Order API's two busiest calls written the usual way: Flask, the ORM, marshmallow, a session for each request.

The same rows in the same database, the same answers. It neither authorizes nor groups commits nor wakes a worker.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import msgspec
from flask import Flask, Response, request
from sqlalchemy import select
from sqlalchemy.orm import registry, sessionmaker

from order_service import tables
from order_service.domain import Product, Wish, price
from order_service.fulfillment.workflow import newest
from order_service.placing import PLACED
from order_service.sagas import Held
from order_service.view import Order, order_from, order_view
from order_service.web.schemas import NewOrderSchema, OrderSchema
from shared.config import load
from shared.database import Database
from shared.ids import uuid7
from shared.messaging.envelope import enclose

MAPPERS = registry()


def mapped(name: str, table: Any) -> Any:
    """A class of the ORM for a table."""
    return MAPPERS.map_imperatively(type(name, (), {}), table).class_


OrderRow, SagaRow = mapped("OrderRow", tables.orders), mapped("SagaRow", tables.sagas)
EntryRow, KeyRow = mapped("EntryRow", tables.saga_history), mapped("KeyRow", tables.idempotency_keys)
ProductRow, MessageRow = mapped("ProductRow", tables.products), mapped("MessageRow", tables.TABLES.outbox.table)

app = Flask(__name__)
new_session = sessionmaker(Database(load(service="order").database_url, pool_size=24).engine)
wanted, shown = NewOrderSchema(), OrderSchema()


def row_of(kind: Any, **values: Any) -> Any:
    made = kind()
    for name, value in values.items():
        setattr(made, name, value)
    return made


@app.get("/orders/<order_id>")
def get_order(order_id: str) -> Response:
    with new_session() as session:
        order, saga = session.get(OrderRow, order_id), session.get(SagaRow, order_id)
        if order is None or saga is None:
            return Response(status=404)
        values = {name: getattr(order, name) for name in tables.orders.c.keys()}  # noqa: SIM118 - columns
        values |= {name: getattr(saga, name) for name in tables.sagas.c.keys() if name not in values}  # noqa: SIM118
        found = order_from(values)
    return answer(found, 200)


@app.post("/orders")
def place_order() -> Response:
    body, now, order_id = wanted.load(request.get_json()), datetime.now(UTC), uuid7(datetime.now(UTC))
    wishes = [Wish(**line) for line in body["lines"]]
    with new_session.begin() as session:
        found = session.scalars(select(ProductRow).where(ProductRow.sku.in_([wish.sku for wish in wishes])))
        goods = {each.sku: Product(sku=each.sku, name=each.name, unit_price=each.unit_price) for each in found}
        lines = price(wishes, goods)
        facts = {
            "order_id": order_id,
            "amount": sum(line["line_total"] for line in lines),
            "currency": "EUR",
            "payment_token": body["payment_token"],
            "lines": body["lines"],
            "ship_to": body["ship_to"],
            "needs_approval": False,
        }
        held = Held.start(order_id, newest(), facts, now)
        decision = held.hear(PLACED, now, "customer:alice")
        order = Order(id=order_id, customer_id="alice", lines=lines, total=facts["amount"], currency="EUR",
                      ship_to=body["ship_to"], placed_at=now, status=decision.history[0].to_status, saga=held.saga,
                      workflow_version=1, version=held.version, updated_at=now)  # fmt: skip
        said = answer(order, 202)
        columns = {name: getattr(order, name) for name in tables.orders.c.keys()}  # noqa: SIM118 - columns
        session.add(row_of(OrderRow, **columns | {"lines": json.dumps(lines), "ship_to": json.dumps(order.ship_to)}))
        session.flush()  # the saga refers to it
        steps = msgspec.json.encode(held.saga.steps).decode()
        session.add(row_of(SagaRow, order_id=order_id, workflow_version=1, facts=json.dumps(facts), steps=steps,
                           backward=False, needs_attention=False, wake_at=held.wake_at, version=held.version,
                           updated_at=now, history_hash=held.history_hash))  # fmt: skip
        for entry in held.entries:
            session.add(
                row_of(EntryRow, **entry | {"did": json.dumps(decision.history[0].did), "at": now, "position": 1})
            )
        for message in decision.messages:
            envelope = enclose(message, at=now, new_id=uuid7)
            names = (
                "id",
                "type",
                "version",
                "producer",
                "correlation_id",
                "causation_id",
                "occurred_at",
                "traceparent",
            )
            values = {name: getattr(envelope, name) for name in names}
            session.add(row_of(MessageRow, **values, body=envelope.body.decode(), due_at=now))
        digest = hashlib.sha256(request.get_data()).hexdigest()
        session.add(row_of(KeyRow, principal="customer:alice", path="/orders", key=request.headers["Idempotency-Key"],
                           body_hash=digest, order_id=order_id, response=said.get_data(as_text=True)))  # fmt: skip
    return said


def answer(order: Order, status: int) -> Response:
    return Response(json.dumps(shown.dump(order_view(order, newest()))), status, mimetype="application/json")
