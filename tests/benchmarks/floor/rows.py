"""What an order leaves in four databases, by bare psycopg: each batch is one statement, whatever its size.

Nothing is read first and nothing is checked. Those that call the outside commit their intent before and the outside
its books, as ours do: three statements a batch, each a transaction.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Self

import msgspec
import psycopg

from tests.benchmarks.floor.order import (
    ABOUT,
    ASKED,
    DID,
    FACTS_AFTER,
    LINES,
    RESPONSE,
    SHIP_TO,
    STATUS,
    STEPS_AFTER,
    Message,
    said,
    sku_of,
    written,
)

CLAIMED = 200  # messages at a time
SETTINGS = "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off"  # as ours
HEARD = "heard AS (SELECT * FROM unnest(%(ids)s::uuid[], %(orders)s::uuid[], %(kinds)s::text[]) h (id, order_id, kind))"
SAID_BY = (
    "CASE split_part(kind, '.', 1) WHEN 'payment' THEN 'payment' WHEN 'stock' THEN 'inventory' ELSE 'shipping' END"
)
MARK = "UPDATE outbox SET published_at = now() WHERE id = ANY(%(published)s::uuid[])"


def taken(service: str) -> str:
    producer = SAID_BY if service == "order" else "'order'"
    return f"taken AS (INSERT INTO inbox SELECT id, {producer}, md5(id::text), now(), 1 FROM heard)"


def saying(service: str, due: str = "now() + interval '5 s'") -> str:
    return f"""
        INSERT INTO outbox SELECT id, kind, 1, '{service}', order_id, cause, now(), NULL, body, {due}, NULL
        FROM json_to_recordset(%(said)s::json) s (id uuid, kind text, order_id uuid, cause uuid, body text)"""


ENTRIES = """
    INSERT INTO saga_history SELECT order_id, seq, now(), event, cause, actor, step, 'acted', NULL, did, was, became,
        pg_current_xact_id()::text::bigint, md5(event) || md5(order_id::text)
    FROM json_to_recordset(%(entries)s::json) e (order_id uuid, seq int, event text, cause uuid, actor text, step text,
        did text, was text, became text)"""

PLACE = f"""
    WITH placed AS (SELECT * FROM json_to_recordset(%(placed)s::json) p
        (id uuid, key text, response text, lines text, ship_to text, facts text, steps text)),
    keyed AS (INSERT INTO idempotency_keys
        SELECT 'customer:alice', '/orders', key, '{"b" * 64}', id, response FROM placed),
    ordered AS (INSERT INTO orders
        SELECT id, 'alice', lines, 100, 'EUR', ship_to, now(), 'pending', NULL, NULL, false FROM placed),
    begun AS (INSERT INTO sagas
        SELECT id, 1, facts, steps, false, NULL, NULL, false, now() + interval '30 s', 1, now(),
        md5(key) || md5(id::text) FROM placed),
    told AS ({ENTRIES}) {saying("order", "now()")}"""

CLAIM = """
    UPDATE outbox SET due_at = now() + interval '5 s' WHERE id IN (
        SELECT id FROM outbox WHERE published_at IS NULL AND due_at <= now()
        ORDER BY due_at, id LIMIT %(most)s FOR UPDATE SKIP LOCKED)
    RETURNING id::text, type, correlation_id::text, causation_id::text, body"""

INTENT = {
    "payment": f"""
        WITH {HEARD}, authorizing AS (INSERT INTO payments SELECT order_id, 'authorizing', 100, 'EUR', 'tok_visa', NULL,
            NULL, false, false, false, 0, 0, 0, 0, 1, now(), now() FROM heard WHERE kind = 'payment.requested')
        UPDATE payments p SET status = 'capturing', version = p.version + 1, updated_at = now()
        FROM heard h WHERE p.order_id = h.order_id AND h.kind = 'capture.requested'""",
    "shipping": f"""
        WITH {HEARD}, booking AS (INSERT INTO shipments SELECT order_id, 'booking', ship_to, false, false,
            '{{"northwind-parcels": "asking"}}', 1, NULL, NULL, NULL, 1, now(), now()
            FROM json_to_recordset(%(parcels)s::json) p (order_id uuid, ship_to jsonb))
        UPDATE shipments s SET status = 'dispatching', version = s.version + 1, updated_at = now()
        FROM heard h WHERE s.order_id = h.order_id AND h.kind = 'dispatch.requested'""",
}

BOOKS = {
    "payment": f"""
        WITH {HEARD}, calls AS (SELECT order_id,
            CASE kind WHEN 'payment.requested' THEN 'authorize' ELSE 'capture' END AS call FROM heard)
        INSERT INTO card_network_books SELECT order_id || ':' || call, 'card_network', order_id, call, 100, true,
            call || '-' || order_id, 1, now() FROM calls""",
    "shipping": f"""
        WITH {HEARD}, calls AS (SELECT order_id,
            CASE kind WHEN 'shipment.requested' THEN 'book' ELSE 'dispatch' END AS call FROM heard)
        INSERT INTO carrier_books SELECT order_id || ':northwind-parcels:' || call, 'northwind-parcels', order_id, call,
            0, true, CASE call WHEN 'book' THEN 'NW31A416F2739802' ELSE order_id || ':northwind-parcels:dispatch' END,
            1, now() FROM calls""",
}

EFFECT = {
    "order": f"""
        told AS ({ENTRIES}),
        moved AS (UPDATE sagas s SET steps = m.steps, facts = coalesce(m.facts, s.facts), version = m.version,
            wake_at = CASE WHEN m.status = 'fulfilled' THEN NULL ELSE s.wake_at END, updated_at = now(),
            history_hash = md5(m.status) || md5(m.order_id::text)
            FROM json_to_recordset(%(moved)s::json) m (order_id uuid, facts text, steps text, version int, status text)
            WHERE s.order_id = m.order_id),
        standing AS (UPDATE orders o SET status = m.status
            FROM json_to_recordset(%(standing)s::json) m (order_id uuid, status text) WHERE o.id = m.order_id)""",
    "payment": """
        paid AS (UPDATE payments p
            SET status = CASE h.kind WHEN 'payment.requested' THEN 'authorized' ELSE 'captured' END,
            authorization_id = 'authorize-' || h.order_id, authorized = 100,
            captured = CASE h.kind WHEN 'payment.requested' THEN 0 ELSE 100 END, version = p.version + 1,
            updated_at = now() FROM heard h WHERE p.order_id = h.order_id),
        moved AS (INSERT INTO payment_movements SELECT order_id,
            CASE kind WHEN 'payment.requested' THEN 'authorized' ELSE 'captured' END, 100, now() FROM heard)""",
    "inventory": """
        goods AS (SELECT *
            FROM unnest(%(orders)s::uuid[], %(kinds)s::text[], %(skus)s::text[]) g (order_id, kind, sku)),
        reserved AS (INSERT INTO reservations
            SELECT order_id, 'reserved', jsonb_build_object(sku, 1), NULL, 1, now(), now()
            FROM goods WHERE kind = 'stock.requested'),
        issued AS (UPDATE reservations r SET status = 'issued', version = r.version + 1, updated_at = now()
            FROM heard h WHERE r.order_id = h.order_id AND h.kind = 'stock.issue_requested'),
        counted AS (SELECT sku, count(*) FILTER (WHERE kind = 'stock.requested') AS reserved,
            count(*) FILTER (WHERE kind = 'stock.issue_requested') AS issued FROM goods GROUP BY sku),
        changed AS (UPDATE stock s SET on_hand = s.on_hand - c.issued, reserved = s.reserved + c.reserved - c.issued
            FROM counted c WHERE s.sku = c.sku),
        moved AS (INSERT INTO stock_movements SELECT order_id::text, sku,
            CASE kind WHEN 'stock.requested' THEN 'reserved' ELSE 'issued' END, 1, now() FROM goods)""",
    "shipping": """
        sent AS (UPDATE shipments s
            SET status = CASE h.kind WHEN 'shipment.requested' THEN 'booked' ELSE 'dispatched' END,
            carriers = '{"northwind-parcels": "booked"}', carrier = 'northwind-parcels',
            tracking_number = 'NW31A416F2739802', version = s.version + 1, updated_at = now()
            FROM heard h WHERE s.order_id = h.order_id)""",
}


class Rows:
    """One service's rows."""

    def __init__(self, url: str, service: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True, prepare_threshold=0, options=SETTINGS)
        self._before = [text[service] for text in (INTENT, BOOKS) if service in text]
        self._keep = f"WITH {HEARD}, {taken(service)}, said AS ({saying(service)}), {EFFECT[service]} {MARK}"
        self._service = service

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def keep(
        self,
        heard: Sequence[Message],
        numbers: Sequence[int],
        answers: Sequence[Message],
        published: Collection[str],
    ) -> None:
        """All that a batch leaves; `numbers` tell the order service which answer of its order each message is."""
        given: dict[str, Any] = {
            "ids": array(each.id for each in heard),
            "orders": array(each.order_id for each in heard),
            "kinds": array(each.kind for each in heard),
            "said": rows(said_row(each) for each in answers),
            "published": array(published),
        }
        match self._service:
            case "order":
                given |= progress(heard, numbers)
            case "inventory":
                given["skus"] = array(sku_of(each.order_id) for each in heard)
            case "shipping":
                ship_to = msgspec.Raw(SHIP_TO)
                booked = (each for each in heard if each.kind == "shipment.requested")
                given["parcels"] = rows({"order_id": each.order_id, "ship_to": ship_to} for each in booked)
        for statement in (*self._before, self._keep):
            self._execute(statement, given)

    def mark(self, published: Collection[str]) -> None:
        """These are confirmed, and no batch is there to mark them along."""
        self._execute(MARK, {"published": array(published)})

    def place(self, ids: Sequence[str], keys: Sequence[str]) -> None:
        """New orders, to be relayed by whoever claims their messages."""
        placed = [
            {
                "id": order_id,
                "key": key,
                "response": text(RESPONSE, order_id),
                "lines": text(LINES, order_id),
                "ship_to": msgspec.Raw(SHIP_TO),
                "facts": text(FACTS_AFTER[0], order_id),
                "steps": msgspec.Raw(STEPS_AFTER[0]),
            }
            for order_id, key in zip(ids, keys, strict=True)
        ]
        asked = said([(kind, order_id, None) for order_id in ids for kind in ASKED[0]])
        entries = [entry(order_id, 0, "order_placed", None, "customer:alice", None) for order_id in ids]
        given = {"placed": rows(placed), "entries": rows(entries), "said": rows(said_row(each) for each in asked)}
        self._execute(PLACE, given)

    def notify(self) -> None:
        """Tell whoever listens that something was placed."""
        self._connection.execute("NOTIFY outbox")

    def claim(self) -> list[Message]:
        """At most CLAIMED messages that nobody has published."""
        found = self._connection.execute(CLAIM, {"most": CLAIMED}, binary=True)
        return [Message(new, kind, order_id, cause, body.encode()) for new, kind, order_id, cause, body in found]

    def _execute(self, statement: str, given: Mapping[str, Any]) -> None:
        self._connection.execute(statement, given)


def progress(heard: Sequence[Message], numbers: Sequence[int]) -> dict[str, str]:
    """The history's entries, and how sagas and orders are after the last of a batch's answers."""
    entries = [
        entry(each.order_id, number, each.kind, each.id, *ABOUT[each.kind])
        for each, number in zip(heard, numbers, strict=True)
    ]
    last = {each.order_id: number for each, number in zip(heard, numbers, strict=True)}
    moved = [
        {
            "order_id": order_id,
            "facts": text(FACTS_AFTER[number], order_id) if number in FACTS_AFTER else None,
            "steps": msgspec.Raw(STEPS_AFTER[number]),
            "version": number + 1,
            "status": STATUS[number],
        }
        for order_id, number in last.items()
    ]
    standing = {each["order_id"]: each["became"] for each in entries if each["was"] != each["became"]}
    return {
        "entries": rows(entries),
        "moved": rows(moved),
        "standing": rows({"order_id": order_id, "status": status} for order_id, status in standing.items()),
    }


def entry(order_id: str, number: int, event: str, cause: str | None, actor: str, step: str | None) -> dict[str, Any]:
    return {"order_id": order_id, "seq": number + 1, "event": event, "cause": cause, "actor": actor, "step": step,
            "did": DID[number], "was": STATUS[max(0, number - 1)], "became": STATUS[number]}  # fmt: skip


def said_row(message: Message) -> dict[str, Any]:
    return {"id": message.id, "kind": message.kind, "order_id": message.order_id, "cause": message.cause,
            "body": msgspec.Raw(message.body)}  # fmt: skip


def text(template: bytes, order_id: str) -> msgspec.Raw:
    return msgspec.Raw(written(template, order_id))


def rows(each: Any) -> str:
    return msgspec.json.encode(list(each)).decode()


def array(values: Any) -> str:
    """An array as PostgreSQL reads it, of words that need no quotes."""
    return f"{{{','.join(values)}}}"
