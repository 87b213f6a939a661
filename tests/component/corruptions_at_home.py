"""What can go wrong in the order service's own house: its orders, sagas, histories and keys."""

from order_service.cli.system.audit import Broken
from tests.component.corruptions import BACK, COPY, DONE, LINES, RECHAIN, STEP, history, planted

AT_HOME = {
    "an order deleted": planted(
        Broken.ORDER_GONE,
        "order",
        f"DELETE FROM saga_history WHERE order_id = {DONE}",
        f"DELETE FROM sagas WHERE order_id = {DONE}",
        f"DELETE FROM orders WHERE id = {DONE}",
    ),
    "a key deleted": planted(Broken.NOBODY_ASKED, "order", f"DELETE FROM idempotency_keys WHERE order_id = {BACK}"),
    "two orders for one key": planted(
        Broken.TWICE_PLACED, "order", f"DELETE FROM idempotency_keys WHERE order_id = {DONE}"
    ),
    "a key that leads to another's order": planted(
        Broken.KEY_MISLEADS, "order", f"UPDATE idempotency_keys SET order_id = {BACK} WHERE order_id = {DONE}"
    ),
    "a key of another customer": planted(
        Broken.KEY_MISLEADS, "order", f"UPDATE idempotency_keys SET principal = 'customer:eve' WHERE order_id = {DONE}"
    ),
    "another customer's order": planted(
        Broken.ORDER_CONTRADICTS, "order", f"UPDATE orders SET customer_id = 'eve' WHERE id = {DONE}"
    ),
    "two keys for one order": planted(
        Broken.TWO_KEYS,
        "order",
        COPY.format("idempotency_keys", "principal, path, key || '2', body_hash, order_id, response", "true"),
    ),
    "an order that sleeps": planted(
        Broken.ASLEEP,
        "order",
        STEP.format("issue", "done", "requested", DONE),
        f"UPDATE saga_history SET to_status = 'paid' WHERE order_id = {DONE} AND to_status = 'fulfilled'",
        f"UPDATE orders SET status = 'paid' WHERE id = {DONE}",
        RECHAIN,
    ),
    "a person who is not called": planted(
        Broken.ASLEEP,
        "order",
        f"UPDATE sagas SET steps = json_set(steps, '$.payment[5]', json('[\"odd\",false]')) WHERE order_id = {DONE}",
    ),
    "a final order that will wake": planted(
        Broken.FINAL_WAKES,
        "order",
        f"UPDATE sagas SET wake_at = '2030-01-01T00:00:00.000000+00:00' WHERE order_id = {DONE}",
    ),
    "a fulfilled order whose payment is asked": planted(
        Broken.FINAL_ASKED, "order", STEP.format("payment", "done", "requested", DONE)
    ),
    "a cancelled order whose payment is being undone": planted(
        Broken.FINAL_ASKED,
        "order",
        f"""UPDATE sagas SET steps = json_set(steps, '$.payment[0]', 'compensating', '$.payment[3]', json('null'))
        WHERE order_id = {BACK}""",
    ),
    "a final order that calls a person": planted(
        Broken.FINAL_ATTENTION, "order", f"UPDATE orders SET needs_attention = true WHERE id = {DONE}"
    ),
    "a line of history deleted": planted(
        Broken.HISTORY_GAP, "order", f"DELETE FROM saga_history WHERE seq = 2 AND order_id = {DONE}"
    ),
    "the last line of history deleted": planted(
        Broken.HISTORY_GAP, "order", f"DELETE FROM saga_history WHERE order_id = {DONE} AND to_status = 'fulfilled'"
    ),
    "a history deleted": planted(Broken.HISTORY_GAP, "order", f"DELETE FROM saga_history WHERE order_id = {DONE}"),
    "a line of history added": planted(
        Broken.HISTORY_GAP, "order", COPY.format("saga_history", LINES.format("seq + 100", "actor"), "seq = 1")
    ),
    "a line in the middle of the history changed": planted(
        Broken.HISTORY_REWRITTEN, "order", f"UPDATE saga_history SET detail = 'x' WHERE seq = 3 AND order_id = {DONE}"
    ),
    "the actor of a line changed": planted(
        Broken.HISTORY_REWRITTEN, "order", f"UPDATE saga_history SET actor = 'x' WHERE seq = 1 AND order_id = {DONE}"
    ),
    "the last line of history changed": planted(
        Broken.HISTORY_REWRITTEN,
        "order",
        f"UPDATE saga_history SET detail = 'x' WHERE to_status = 'fulfilled' AND order_id = {DONE}",
    ),
    "two lines of history in another order": planted(
        Broken.HISTORY_REWRITTEN,
        "order",
        f"UPDATE saga_history SET seq = -2 WHERE seq = 2 AND order_id = {DONE}",
        f"UPDATE saga_history SET seq = 2 WHERE seq = 3 AND order_id = {DONE}",
        f"UPDATE saga_history SET seq = 3 WHERE seq = -2 AND order_id = {DONE}",
    ),
    "a line put into the history": planted(
        Broken.HISTORY_REWRITTEN,
        "order",
        f"UPDATE saga_history SET seq = -seq WHERE seq > 1 AND order_id = {DONE}",
        f"UPDATE saga_history SET seq = 1 - seq WHERE seq < 0 AND order_id = {DONE}",
        COPY.format("saga_history", LINES.format("2", "'operator:eve'"), f"seq = 1 AND order_id = {DONE}"),
        f"UPDATE sagas SET version = version + 1 WHERE order_id = {DONE}",
    ),
    "the last lines of history undone": planted(
        Broken.HISTORY_REWRITTEN,
        "order",
        f"UPDATE sagas SET history_hash = (SELECT hash FROM saga_history WHERE seq = 1 AND order_id = {DONE})"
        f" WHERE order_id = {DONE}",
    ),
    "lines of history that do not join": history(
        Broken.HISTORY_TORN, f"from_status = 'confirmed' WHERE seq = 2 AND order_id = {DONE}"
    ),
    "a history without a beginning": history(
        Broken.HISTORY_TORN, f"event = 'tick', actor = 'clock' WHERE seq = 1 AND order_id = {DONE}"
    ),
    "a history that goes back in time": history(
        Broken.HISTORY_TIMES, f"at = '2020-01-01T00:00:00.000000+00:00' WHERE seq = 3 AND order_id = {DONE}"
    ),
    "a fact that a person told": history(
        Broken.NOBODY_DID, f"actor = 'operator:eve' WHERE event = 'payment.captured' AND order_id = {DONE}"
    ),
    "an act of nobody": history(Broken.NOBODY_DID, f"actor = 'eve' WHERE seq = 1 AND order_id = {DONE}"),
    "sent before it was paid, by the history": history(
        Broken.SENT_UNPAID,
        f"event = 'shipment.dispatched' WHERE event = 'shipment.booked' AND order_id = {DONE}",
    ),
    "sent before it was paid, by the carrier": planted(
        Broken.SENT_UNPAID,
        "shipping",
        "UPDATE carrier_books SET at = '2020-01-01T00:00:00.000000+00:00' WHERE kind = 'dispatch'",
    ),
    "a status that the history does not know": planted(
        Broken.STATUS_DIFFERS, "order", f"UPDATE orders SET status = 'cancelled' WHERE id = {DONE}"
    ),
    "steps that do not fit the end": planted(
        Broken.STATUS_DIFFERS, "order", STEP.format("payment", "done", "compensated", DONE)
    ),
    "reasons that differ": planted(
        Broken.REASON_DIFFERS, "order", "UPDATE orders SET reason = 'timed_out' WHERE reason = 'payment_declined'"
    ),
    "details of a reason that differ": planted(
        Broken.REASON_DIFFERS, "order", "UPDATE sagas SET reason_detail = 'x' WHERE reason = 'payment_declined'"
    ),
    "a saga that nobody can read": planted(
        Broken.UNREADABLE, "order", f"UPDATE sagas SET steps = '{{}}' WHERE order_id = {DONE}"
    ),
    "a saga deleted": planted(Broken.UNREADABLE, "order", f"DELETE FROM sagas WHERE order_id = {DONE}"),
}
