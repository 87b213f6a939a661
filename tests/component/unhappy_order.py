"""One unhappy order, by the real services, for docs/an-unhappy-order.md: its payment declines while stock is pending.

python -m tests.component.unhappy_order     prints what the page shows
"""

import tempfile
from datetime import UTC
from pathlib import Path

import msgspec

from inventory_service.service import SERVICE as INVENTORY
from order_service.cli.client.rendering import history_lines
from order_service.cli.client.times import Times
from order_service.domain import NewOrder, Wish
from order_service.tables import TABLES
from order_service.view import as_bytes
from payment_service.service import SERVICE as PAYMENT
from shared.messaging.broker import Delivery
from shared.messaging.durability.maintenance import Maintenance
from shared.messaging.envelope import Envelope
from tests.component.bench import Bench
from tests.component.orders import NOON, SHIP_TO, Shop

ORDER = NewOrder(
    principal="customer:alice",
    path="/orders",
    key="unhappy",
    body_hash="",
    customer_id="alice",
    lines=[Wish(sku="POPULAR-LAMP", quantity=1)],
    ship_to=SHIP_TO,
    payment_token="tok_declined",
)


def run(folder: Path) -> tuple[str, str]:
    """The order's history and all messages that were published for it, each as lines; data is kept in `folder`."""
    shop, payment, inventory = (
        Shop(f"sqlite:///{folder}/order.db"),
        Bench(PAYMENT, f"sqlite:///{folder}/payment.db"),
        Bench(INVENTORY, f"sqlite:///{folder}/inventory.db", seed=True),
    )
    sent: list[Envelope] = []

    def works(bench: Bench, *types: str) -> None:
        """Have it work the messages of these types, a moment later; what it says is sent."""
        shop.clock.move(milliseconds=20)
        batch = [each for name in types for each in sent if each.type == name]
        sent.extend(bench.consumer.work([Delivery(envelope=each, tag=tag) for tag, each in enumerate(batch)]))

    shop.clock.move(milliseconds=5)
    (order,) = shop.placed(ORDER)
    sent.extend(sorted(Maintenance(TABLES, shop.database, shop.clock).claim(100), key=lambda each: each.type))
    works(payment, "payment.requested")
    works(shop, "payment.declined")
    works(inventory, "stock.requested", "stock.release_requested")
    works(shop, "stock.reserved", "stock.released")

    entries = msgspec.json.decode(as_bytes(shop.history(order)))
    causes = {each.id: each.type for each in sent}
    messages = [(each.producer, each.type, causes.get(each.causation_id or "", "the customer")) for each in sent]
    for bench in (shop, payment, inventory):
        bench.close()
    shown = [f"{producer:9}  {kind:23}  because of {cause}" for producer, kind, cause in messages]
    return "\n".join(history_lines(entries, Times(NOON, UTC))), "\n".join(shown)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        print(*run(Path(folder)), sep="\n\n")


if __name__ == "__main__":
    main()
