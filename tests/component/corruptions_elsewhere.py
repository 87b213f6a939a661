"""What can go wrong between the order service and the others, and in the others' own books."""

from order_service.cli.system.audit import Broken
from tests.component.corruptions import COPY, DONE, NOBODYS, letter, planted

ELSEWHERE = {
    "goods that came back": planted(
        Broken.MONEY_WITHOUT_GOODS,
        "inventory",
        "UPDATE reservations SET status = 'released' WHERE status = 'issued'",
        "UPDATE stock SET on_hand = on_hand + (SELECT sum(quantity) FROM stock_movements m WHERE m.sku = stock.sku"
        " AND kind = 'issued') WHERE sku IN (SELECT sku FROM stock_movements WHERE kind = 'issued')",
        "UPDATE stock_movements SET kind = 'released' WHERE kind = 'issued'",
    ),
    "a capture that was a void": planted(
        Broken.GOODS_WITHOUT_MONEY,
        "payment",
        "UPDATE payments SET status = 'voided', voided = captured, captured = 0 WHERE status = 'captured'",
        "UPDATE payment_movements SET kind = 'voided' WHERE kind = 'captured'",
        "UPDATE card_network_books SET kind = 'void' WHERE kind = 'capture' AND approved",
    ),
    "a parcel that was never sent": planted(
        Broken.NOT_SENT,
        "shipping",
        "UPDATE shipments SET status = 'booked' WHERE status = 'dispatched'",
        "DELETE FROM carrier_books WHERE kind = 'dispatch'",
    ),
    "money held of a cancelled order": planted(
        Broken.MONEY_HELD,
        "payment",
        "UPDATE payments SET status = 'authorized', voided = 0 WHERE status = 'voided' AND authorized > 0",
        "DELETE FROM payment_movements WHERE kind = 'voided'",
        "DELETE FROM card_network_books WHERE kind = 'void'",
    ),
    "goods reserved of a cancelled order": planted(
        Broken.GOODS_HELD,
        "inventory",
        "UPDATE reservations SET status = 'reserved' WHERE order_id IN"
        " (SELECT reference FROM stock_movements WHERE kind = 'released')",
        "UPDATE stock SET reserved = reserved + (SELECT sum(quantity) FROM stock_movements m WHERE m.sku = stock.sku"
        " AND kind = 'released') WHERE sku IN (SELECT sku FROM stock_movements WHERE kind = 'released')",
        "DELETE FROM stock_movements WHERE kind = 'released'",
    ),
    "a parcel booked of a cancelled order": planted(
        Broken.PARCEL_BOOKED,
        "shipping",
        "UPDATE shipments SET status = 'booked' WHERE status = 'cancelled' AND carrier IS NOT NULL",
        "DELETE FROM carrier_books WHERE kind = 'cancel'",
    ),
    "a second capture": planted(
        Broken.MOVED_TWICE,
        "payment",
        COPY.format(
            "card_network_books",
            "key || ':2', party, order_id, kind, amount, approved, text, 1, at",
            "kind = 'capture' AND approved",
        ),
    ),
    "two carriers": planted(
        Broken.BOOKED_TWICE,
        "shipping",
        COPY.format(
            "carrier_books",
            "key || ':2', 'third', order_id, kind, amount, approved, text, 1, at",
            "order_id IN (SELECT order_id FROM shipments WHERE status = 'dispatched') AND kind = 'book'",
        ),
    ),
    "a payment of another amount than moved": planted(
        Broken.PAYMENT_DIFFERS, "payment", "UPDATE payments SET captured = 1 WHERE status = 'captured'"
    ),
    "a payment deleted": planted(Broken.PAYMENT_DIFFERS, "payment", "DELETE FROM payments WHERE status = 'captured'"),
    "money that only the ledger knows": planted(
        Broken.LEDGER_DIFFERS, "payment", "UPDATE payment_movements SET amount = amount + 1 WHERE kind = 'captured'"
    ),
    "a capture that the ledger forgot": planted(
        Broken.LEDGER_DIFFERS, "payment", "DELETE FROM payment_movements WHERE kind = 'captured'"
    ),
    "a void that never reached the network": planted(
        Broken.NETWORK_DIFFERS, "payment", "DELETE FROM card_network_books WHERE kind = 'void'"
    ),
    "a parcel that no carrier has sent": planted(
        Broken.CARRIER_DIFFERS, "shipping", "DELETE FROM carrier_books WHERE kind = 'dispatch'"
    ),
    "a shipment deleted": planted(
        Broken.CARRIER_DIFFERS, "shipping", "DELETE FROM shipments WHERE status = 'dispatched'"
    ),
    "another tracking number": planted(
        Broken.TRACKING_DIFFERS, "shipping", "UPDATE shipments SET tracking_number = 'NW0' WHERE status = 'dispatched'"
    ),
    "an amount that the customer was not told": planted(
        Broken.TOLD_AMOUNTS,
        "order",
        f"UPDATE sagas SET facts = json_set(facts, '$.captured', 1) WHERE order_id = {DONE}",
    ),
    "a parcel that the customer was not told": planted(
        Broken.TOLD_PARCEL,
        "order",
        f"UPDATE sagas SET facts = json_set(facts, '$.tracking_number', 'NW0') WHERE order_id = {DONE}",
    ),
    "another amount than the price": planted(
        Broken.OTHER_AMOUNT,
        "payment",
        "UPDATE card_network_books SET amount = 4000 WHERE order_id IN"
        " (SELECT order_id FROM payments WHERE status = 'captured')",
        "UPDATE payment_movements SET amount = 4000 WHERE order_id IN"
        " (SELECT order_id FROM payments WHERE status = 'captured')",
        "UPDATE payments SET amount = 4000, authorized = 4000, captured = 4000 WHERE status = 'captured'",
    ),
    "a payment of another status": planted(
        Broken.IMPOSSIBLE_PAYMENT, "payment", "UPDATE payments SET status = 'declined' WHERE status = 'captured'"
    ),
    "an order of another total": planted(
        Broken.ORDER_CONTRADICTS, "order", f"UPDATE orders SET total = total + 1 WHERE id = {DONE}"
    ),
    "an order of other lines": planted(
        Broken.ORDER_CONTRADICTS, "order", f"UPDATE orders SET lines = replace(lines, 'LAMP', 'LAMB') WHERE id = {DONE}"
    ),
    "an order placed at another time": planted(
        Broken.ORDER_CONTRADICTS, "order", f"UPDATE orders SET placed_at = '2020-01-01T00:00:00Z' WHERE id = {DONE}"
    ),
    "stock that vanished": planted(
        Broken.STOCK_DIFFERS, "inventory", "UPDATE stock SET on_hand = on_hand - 1 WHERE sku = 'POPULAR-LAMP'"
    ),
    "stock reserved for nobody": planted(
        Broken.STOCK_DIFFERS, "inventory", "UPDATE stock SET reserved = reserved + 2 WHERE sku = 'DESK-PLANT'"
    ),
    "a movement deleted": planted(
        Broken.MOVEMENTS_DIFFER, "inventory", "DELETE FROM stock_movements WHERE kind = 'issued'"
    ),
    "a reservation of another status": planted(
        Broken.MOVEMENTS_DIFFER, "inventory", "UPDATE reservations SET status = 'issued' WHERE status = 'released'"
    ),
    "other goods than were ordered": planted(
        Broken.OTHER_GOODS,
        "inventory",
        "UPDATE reservations SET lines = replace(lines, 'POPULAR-LAMP', 'COFFEE-MUG') WHERE status = 'issued'",
        "UPDATE stock SET on_hand = on_hand - (SELECT sum(quantity) FROM stock_movements WHERE kind = 'issued')"
        " WHERE sku = 'COFFEE-MUG'",
        "UPDATE stock SET on_hand = on_hand + (SELECT sum(quantity) FROM stock_movements WHERE kind = 'issued')"
        " WHERE sku = 'POPULAR-LAMP'",
        "UPDATE stock_movements SET sku = 'COFFEE-MUG' WHERE sku = 'POPULAR-LAMP' AND kind <> 'received'",
    ),
    "goods received without a receipt": planted(
        Broken.NO_RECEIPT,
        "inventory",
        "INSERT INTO stock_movements VALUES ('eve/1', 'OAK-CHAIR', 'received', 5, '2026-01-01')",
        "UPDATE stock SET on_hand = on_hand + 5 WHERE sku = 'OAK-CHAIR'",
    ),
    "a receipt deleted": planted(Broken.NO_RECEIPT, "inventory", "DELETE FROM receipts WHERE sku = 'OAK-CHAIR'"),
    "a receipt whose goods never came": planted(
        Broken.RECEIPT_WITHOUT_GOODS,
        "inventory",
        "DELETE FROM stock_movements WHERE sku = 'OAK-CHAIR' AND kind = 'received'",
    ),
    "a message that nobody said": planted(
        Broken.GHOST,
        "payment",
        "INSERT INTO inbox (message_id, producer, digest, received_at, deliveries)"
        " VALUES ('ffffffff-ffff-7fff-bfff-ffffffffffff', 'order', 'x', '2026-01-01', 1)",
    ),
    "a message of no service": planted(
        Broken.GHOST,
        "payment",
        "UPDATE inbox SET producer = 'eve' WHERE message_id = (SELECT min(message_id) FROM inbox)",
    ),
    "a dead letter": planted(Broken.DEAD_LETTER, "shipping", letter("parked")),
    "a letter that replays for ever": planted(Broken.REPLAYS_FOR_EVER, "shipping", letter("replaying")),
    "a letter that replays since long ago": planted(
        Broken.REPLAYS_FOR_EVER, "shipping", letter("replaying", "'0192d2f0-8004-7000-8000-000000000004'")
    ),
    "a letter whose replay is lost": planted(
        Broken.REPLAY_LOST, "shipping", letter("replayed", "'0192d2f0-8004-7000-8000-000000000004'", "'2030-01-01'")
    ),
    "a parcel for an order that nobody placed": planted(
        Broken.STRANGER,
        "shipping",
        COPY.format(
            "shipments",
            f"{NOBODYS}, 'booking', ship_to, false, false, '{{}}', 1, NULL, NULL, NULL, 1, created_at, updated_at",
            "status = 'dispatched' LIMIT 1",
        ),
    ),
    "money of an order that nobody placed": planted(
        Broken.STRANGER,
        "payment",
        COPY.format(
            "payments",
            f"{NOBODYS}, 'authorizing', 1, 'EUR', 'tok_visa', NULL, NULL, false, false, false, 0, 0, 0, 0, 1,"
            " created_at, updated_at",
            "status = 'captured' LIMIT 1",
        ),
    ),
}
