"""Orders of mixed fate, placed by several customers at once over HTTP, and an operator who sees to those that wait."""

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from order_service.cli.client.api import Api, Refused

ADDRESS = {"name": "Ada Lovelace", "line1": "12 Analytical Row", "city": "Somewhere", "postal_code": "10115"}
UNENDED = ("pending", "awaiting_approval", "confirmed", "paid", "cancelling")
STOCK = ("POPULAR-LAMP", "COFFEE-MUG", "TEA-TOWEL", "CANDLE-SET", "OAK-CHAIR")


@dataclass(frozen=True)
class Fate:
    """What is ordered, and how it must end; None: it may end either way."""

    name: str
    status: str | None
    sku: str = "POPULAR-LAMP"
    quantity: int = 1
    card: str = "tok_visa"
    country: str = "DE"
    approval: str | None = None
    cancelled: bool = False


FULFILLED, CANCELLED = "fulfilled", "cancelled"
MIX = (
    *(Fate("plain", FULFILLED, country=country) for country in ("DE", "FR", "GB", "US")),
    *(Fate("plain", FULFILLED, sku, 2) for sku in ("COFFEE-MUG", "TEA-TOWEL", "CANDLE-SET", "POPULAR-LAMP")),
    *(Fate("plain", FULFILLED, "TEA-TOWEL", 3, card) for card in ("tok_visa", "tok_mastercard", "tok_amex")),
    Fate("declined", CANCELLED, card="tok_declined"),
    Fate("out of stock", CANCELLED, "RARE-VASE", 4),
    Fate("undeliverable", CANCELLED, country="NZ"),
    Fate("capture refused", CANCELLED, card="tok_capture_refused"),
    Fate("answers lost", FULFILLED, card="tok_timeout"),
    Fate("approved", FULFILLED, "OAK-CHAIR", 6, approval="approve"),
    Fate("refused", CANCELLED, "OAK-CHAIR", 7, approval="refuse"),
    Fate("cancelled", None, cancelled=True),
    Fate("cancelled while waiting", CANCELLED, "OAK-CHAIR", 8, cancelled=True),
)


@dataclass
class Shop:
    """A system under load. Tokens: of an operator, and of one customer."""

    urls: Mapping[str, str]
    operator: str
    customer: str
    mix: Sequence[Fate] = MIX
    fates: dict[str, Fate] = field(default_factory=dict)  # by order id
    failures: list[str] = field(default_factory=list)

    def receive_goods(self, quantity: int = 1_000_000) -> None:
        with Api(self.urls["inventory"], self.operator) as api:
            for sku in STOCK:
                receipt = {"quantity": quantity}
                api.call("POST", f"/stock/{sku}/receipts", receipt, Idempotency_Key=f"load-{time.monotonic_ns()}")

    def place(self, orders: int, threads: int) -> None:
        """Place so many orders by so many threads at once; approvals are seen to meanwhile."""
        done = threading.Event()
        desk = threading.Thread(target=self._see_to_approvals, args=(done,))
        customers = [
            threading.Thread(target=self._place, args=(range(each, orders, threads),)) for each in range(threads)
        ]
        for thread in (desk, *customers):
            thread.start()
        for thread in customers:
            thread.join()
        done.set()
        desk.join()

    def wait_for_the_end(self, patience: float) -> None:
        """Return when every order has ended; raises TimeoutError."""
        until = time.monotonic() + patience
        with Api(self.urls["order"], self.operator) as api:
            while self._unended(api):
                self._decide(api)
                if time.monotonic() > until:
                    raise TimeoutError(f"not ended within {patience} s: {self._unended(api)}")
                time.sleep(0.1)

    def ends(self) -> Counter[tuple[str, str]]:
        """How many orders of each fate ended how; asks for every order."""
        with Api(self.urls["order"], self.operator) as api:
            return Counter((fate.name, api.get(f"/orders/{each}")["status"]) for each, fate in self.fates.items())

    def wrong_ends(self) -> list[str]:
        """The fates that did not end as they must."""
        must = {fate.name: fate.status for fate in MIX}
        return [f"{count} {name}: {status}" for (name, status), count in self.ends().items()
                if must[name] not in (None, status)]  # fmt: skip

    def _unended(self, api: Api) -> list[str]:
        return [each["id"] for status in UNENDED for each in api.get("/orders", status=status, limit=1)["items"]]

    def _place(self, numbers: range) -> None:
        with Api(self.urls["order"], self.customer, insist=120) as api:
            for number in numbers:
                fate = self.mix[number % len(self.mix)]
                try:
                    order = api.place(_wish(fate), f"load-{id(self)}-{number}")
                    self.fates[order["id"]] = fate
                    if fate.cancelled:
                        api.post(f"/orders/{order['id']}/cancel")
                except Refused as refusal:
                    if refusal.status != 409:
                        self.failures.append(f"{fate.name}: {refusal}")

    def _see_to_approvals(self, done: threading.Event) -> None:
        with Api(self.urls["order"], self.operator) as api:
            while not done.wait(0.25):
                self._decide(api)

    def _decide(self, api: Api) -> None:
        for order in api.get("/orders", status="awaiting_approval", limit=200)["items"]:
            fate = self.fates.get(order["id"])
            if fate and fate.approval:
                try:
                    api.post(f"/orders/{order['id']}/approval", {"decision": fate.approval})
                except Refused as refusal:
                    if refusal.status != 409:
                        self.failures.append(f"{fate.name}: {refusal}")


def _wish(fate: Fate) -> dict[str, Any]:
    return {
        "lines": [{"sku": fate.sku, "quantity": fate.quantity}],
        "payment_token": fate.card,
        "ship_to": {**ADDRESS, "country": fate.country},
    }
