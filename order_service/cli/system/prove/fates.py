"""The orders of a proof: what is wished, what is done about each, and how it may end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FULFILLED, CANCELLED = "fulfilled", "cancelled"
STOCK = ("POPULAR-LAMP", "COFFEE-MUG", "TEA-TOWEL", "CANDLE-SET", "OAK-CHAIR", "DESK-PLANT", "LINEN-SOFA", "WOOL-RUG")
COUNTRIES = ("DE", "FR", "GB", "US")
ADDRESS = {"name": "Ada Lovelace", "line1": "12 Analytical Row", "city": "Somewhere", "postal_code": "10115"}
DEAR = ("LINEN-SOFA",)


@dataclass(frozen=True, kw_only=True)
class Fate:
    """`share` of a thousand orders. `act` is done when the order is in one of the statuses `when`; with several `skus`
    they come in turn. Whatever breaks, an order that could not be served in time may end as `timed_out`, too."""

    name: str
    share: int
    skus: tuple[str, ...] = ("POPULAR-LAMP",)
    quantity: int = 1
    card: str = "tok_visa"
    country: str = ""
    act: str = ""
    when: tuple[str, ...] = ()
    may: tuple[str | None, ...] = (None,)  # reasons; None: it is fulfilled

    def wish(self, number: int) -> Mapping[str, Any]:
        """The body of the POST for the order of this number."""
        lines = [{"sku": self.skus[number % len(self.skus)], "quantity": self.quantity}]
        country = self.country or COUNTRIES[number % len(COUNTRIES)]
        return {"lines": lines, "payment_token": self.card, "ship_to": {**ADDRESS, "country": country}}

    def allows(self, reason: str | None) -> bool:
        return reason in self.may or reason == "timed_out"


APPROVE, REFUSE, CANCEL, REVERSE = "approve", "refuse", "cancel", "reverse"
WAITING = ("awaiting_approval",)
FATES: Sequence[Fate] = (
    Fate(name="plain", share=460, skus=("POPULAR-LAMP", "COFFEE-MUG", "TEA-TOWEL", "CANDLE-SET"), quantity=2),
    Fate(name="card declined", share=80, card="tok_insufficient_funds", may=("payment_declined",)),
    Fate(name="out of stock", share=60, skus=("RARE-VASE",), quantity=4, may=("out_of_stock",)),
    Fate(name="undeliverable", share=50, country="NZ", may=("undeliverable",)),
    Fate(name="approved", share=80, skus=DEAR, act=APPROVE, when=WAITING),
    Fate(name="refused", share=40, skus=DEAR, act=REFUSE, when=WAITING, may=("approval_refused",)),
    Fate(name="cancelled at once", share=60, act=CANCEL, may=(None, "customer_request")),
    Fate(name="cancelled while waiting", share=40, skus=DEAR, act=CANCEL, when=WAITING, may=("customer_request",)),
    Fate(name="cancelled too late", share=40, act=CANCEL, when=("paid", FULFILLED)),
    Fate(name="capture refused", share=40, card="tok_capture_refused", may=("capture_refused",)),
    Fate(name="answers lost", share=30, card="tok_timeout"),
    Fate(name="reversed in doubt", share=20, card="tok_timeout", act=REVERSE, when=("confirmed",),
         may=(None, "operator_request")),
)  # fmt: skip
EFFECT = {APPROVE: None, REFUSE: CANCELLED, CANCEL: CANCELLED, REVERSE: CANCELLED}  # how it must end once accepted
