"""The demo's orders: what is done to each, and how it must end. Read the table at the foot first."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from order_service.cli.client.api import Api, Refused
from order_service.cli.client.rendering import Order, is_final
from order_service.cli.client.watch import news
from order_service.cli.system.embedded import DEMO, Tokens

PATIENCE = 20.0  # seconds for anything to happen

# Everybody waits less long than in a shop, so that silence can be watched.
TIMINGS = {
    "step_timeouts": "payment=1,inventory=1,shipping=2,capture=1.5,issue=1,dispatch=2",
    "step_attempts": "payment=3,capture=2",
    "slowest_pace": "1",
}
LATENCY_MS = 150  # of the card network and of the carriers


class Surprise(Exception):
    """It did not go as it must."""


@dataclass
class Play:
    """One order on its way: what its script does to it, and how it stands."""

    urls: Mapping[str, str]
    tokens: Tokens = DEMO
    customer: Api = field(init=False)
    operator: Api = field(init=False)
    order: Order = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.customer = Api(self.urls["order"], self.tokens.customer)
        self.operator = Api(self.urls["order"], self.tokens.operator)

    def place(
        self, *, sku: str = "POPULAR-LAMP", quantity: int = 1, card: str = "tok_visa", country: str = "DE"
    ) -> None:
        address = {"name": "Ada Lovelace", "line1": "12 Analytical Row", "city": "Somewhere", "postal_code": "10115"}
        lines = [{"sku": sku, "quantity": quantity}]
        wish = {"lines": lines, "payment_token": card, "ship_to": {**address, "country": country}}
        self.order = self.customer.place(wish)

    def until(self, what: str, happens: Callable[[Order], bool]) -> None:
        """Wait for the order to be so; raises Surprise if it ends otherwise, or never is."""
        self.order = self.customer.get(f"/orders/{self.order['id']}")
        end = time.monotonic() + PATIENCE
        while not happens(self.order):
            if is_final(self.order):
                raise Surprise(f"it is {self.order['status']} ({self.order['reason']}) instead of {what}")
            if time.monotonic() > end:
                raise Surprise(f"it is not {what} within {PATIENCE:.0f} s, but {self.order['status']}")
            self.order = news(self.customer, dict(self.order), wait=1, until=end)

    def until_status(self, *statuses: str) -> None:
        self.until(" or ".join(statuses), lambda order: order["status"] in statuses)

    def until_end(self) -> None:
        self.until("at its end", is_final)

    def approve(self, decision: str) -> None:
        self.until_status("awaiting_approval")
        self.operator.post(f"/orders/{self.order['id']}/approval", {"decision": decision, "note": "looked at"})

    def cancel(self, *, wins: bool) -> None:
        """The customer cancels; raises Surprise when that is accepted and should not be, or the reverse."""
        try:
            self.customer.post(f"/orders/{self.order['id']}/cancel")
        except Refused as refusal:
            if wins or refusal.status != 409:
                raise
        else:
            if not wins:
                raise Surprise("it could be cancelled although its money was asked for")

    def world(self, service: str, party: str | None = None, **conduct: Any) -> None:
        """From now on the card network (of payment) or a carrier (of shipping) behaves so; without more, as usual."""
        with Api(self.urls[service], self.tokens.operator) as api:
            api.put(f"/simulation?party={party}" if party else "/simulation", {"latency_ms": LATENCY_MS, **conduct})

    def close(self) -> None:
        self.customer.close()
        self.operator.close()


def plain(play: Play) -> None:
    play.place(quantity=2)


def declined(play: Play) -> None:
    play.place(sku="OAK-CHAIR", card="tok_insufficient_funds")


def out_of_stock(play: Play) -> None:
    play.place(sku="RARE-VASE", quantity=4)


def nowhere(play: Play) -> None:
    play.place(sku="COFFEE-MUG", quantity=6, country="NZ")


def approved(play: Play) -> None:
    play.place(sku="LINEN-SOFA")
    play.approve("approve")


def refused(play: Play) -> None:
    play.place(sku="LINEN-SOFA", quantity=2)
    play.approve("refuse")


def cancelled_in_time(play: Play) -> None:
    play.place(sku="LINEN-SOFA")
    play.until_status("awaiting_approval")
    play.cancel(wins=True)


def cancelled_too_late(play: Play) -> None:
    play.place(sku="TEA-TOWEL", quantity=3)
    play.until_status("paid", "fulfilled")
    play.cancel(wins=False)


def capture_refused(play: Play) -> None:
    play.place(sku="DESK-PLANT", card="tok_capture_refused")


def lost_answer(play: Play) -> None:
    play.place(sku="CANDLE-SET", card="tok_timeout", country="FR")


def reversed_in_doubt(play: Play) -> None:
    """The network took the money and its answer got lost; the operator does not wait to be told."""
    play.place(sku="OAK-CHAIR", card="tok_timeout")
    play.until("being captured", lambda order: step(order, "capture")["status"] == "requested")
    play.operator.post(f"/orders/{play.order['id']}/steps/capture/reverse")


def carrier_down(play: Play) -> None:
    play.world("shipping", "northwind-parcels", outage=True)
    try:
        play.place(sku="WOOL-RUG")
        play.until_end()
    finally:
        play.world("shipping")
    if play.order["carrier"] != "globex-freight":
        raise Surprise(f"{play.order['carrier']} took the parcel although it was down")


def silent_at_capture(play: Play) -> None:
    """The pivot's silence never ends an order: it is asked again until somebody answers."""
    play.place(sku="LINEN-SOFA")
    play.until_status("awaiting_approval")
    play.world("payment", outage=True)
    try:
        play.approve("approve")
        play.until("in need of attention", lambda order: bool(order["needs_attention"]))
    finally:
        play.world("payment")


def silent_at_payment(play: Play) -> None:
    """The silence of what can be undone is a failure; what may have happened is undone as soon as it can be."""
    play.world("payment", outage=True)
    try:
        play.place(sku="WOOL-RUG")
        play.until_status("cancelling")
    finally:
        play.world("payment")


def step(order: Order, name: str) -> Mapping[str, Any]:
    return next(each for each in order["steps"] if each["name"] == name)


@dataclass(frozen=True)
class Scenario:
    title: str
    script: Callable[[Play], None]
    status: str
    reason: str | None = None


Acts = Sequence[Sequence[Scenario]]

ACTS: Acts = (  # one act after the other; the orders of an act all at once
    (
        Scenario("a plain order", plain, "fulfilled"),
        Scenario("the card is declined", declined, "cancelled", "payment_declined"),
        Scenario("four vases are wanted, three are there", out_of_stock, "cancelled", "out_of_stock"),
        Scenario("no carrier goes there", nowhere, "cancelled", "undeliverable"),
        Scenario("dear: an operator approves", approved, "fulfilled"),
        Scenario("dear: an operator refuses", refused, "cancelled", "approval_refused"),
        Scenario("the customer cancels in time", cancelled_in_time, "cancelled", "customer_request"),
        Scenario("the customer cancels too late: 409", cancelled_too_late, "fulfilled"),
        Scenario("the capture is refused after booking", capture_refused, "cancelled", "capture_refused"),
        Scenario("the card network's answers get lost", lost_answer, "fulfilled"),
        Scenario("a capture in doubt is reversed: refunded", reversed_in_doubt, "cancelled", "operator_request"),
    ),
    (Scenario("the first carrier is down", carrier_down, "fulfilled"),),
    (Scenario("the card network is silent at the capture", silent_at_capture, "fulfilled"),),
    (Scenario("the card network is silent from the start", silent_at_payment, "cancelled", "timed_out"),),
)
