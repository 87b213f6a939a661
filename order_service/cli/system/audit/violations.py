"""What can be wrong with the books: every kind by name, with the invariant that it breaks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

KEPT = 1_000  # violations that are told one by one; the others are counted


class Broken(Enum):
    """The code of the invariant, and what is found where it does not hold."""

    ORDER_GONE = "R1", "an accepted order is gone"
    NOBODY_ASKED = "R2", "an order that nobody asked for"
    ASLEEP = "R3", "an order that nothing will wake"
    FINAL_WAKES = "R3", "a final order that will wake"
    FINAL_ASKED = "R3", "a final order with a step still asked"
    FINAL_ATTENTION = "R3", "a final order needs attention"
    MONEY_WITHOUT_GOODS = "R4", "money without goods"
    GOODS_WITHOUT_MONEY = "R4", "goods without money"
    NOT_SENT = "R4", "paid and not sent"
    MONEY_HELD = "R5", "a cancelled order holds money"
    GOODS_HELD = "R5", "a cancelled order holds goods"
    PARCEL_BOOKED = "R5", "a cancelled order has a parcel under way"
    MOVED_TWICE = "R6", "the card network moved money twice"
    BOOKED_TWICE = "R6", "two carriers have the parcel"
    PAYMENT_DIFFERS = "R7", "a payment differs from its ledger"
    LEDGER_DIFFERS = "R7", "the payment ledger differs"
    NETWORK_DIFFERS = "R7", "the card network differs"
    CARRIER_DIFFERS = "R7", "a carrier differs"
    TRACKING_DIFFERS = "R7", "another tracking number than the carrier's"
    TOLD_AMOUNTS = "R7", "the customer was told other amounts"
    TOLD_PARCEL = "R7", "the customer was told of another parcel"
    OTHER_AMOUNT = "R8", "another amount than the order's"
    IMPOSSIBLE_PAYMENT = "R8", "a payment whose amounts do not fit its status"
    ORDER_CONTRADICTS = "R8", "an order that contradicts itself"
    STOCK_DIFFERS = "R9", "stock that its movements do not explain"
    MOVEMENTS_DIFFER = "R10", "movements that no reservation explains"
    OTHER_GOODS = "R10", "other goods than were ordered"
    NO_RECEIPT = "R10", "goods received without a receipt"
    RECEIPT_WITHOUT_GOODS = "R10", "a receipt without its goods"
    GHOST = "R11", "a message that nobody said"
    DEAD_LETTER = "R14", "a dead letter"
    REPLAYS_FOR_EVER = "R14", "a letter that replays for ever"
    REPLAY_LOST = "R14", "a replayed letter that nobody has worked"
    HISTORY_GAP = "R15", "a history with a gap"
    HISTORY_TORN = "R15", "a history whose lines do not join"
    HISTORY_TIMES = "R15", "a history that goes back in time"
    STATUS_DIFFERS = "R15", "a status that the history does not know"
    REASON_DIFFERS = "R15", "reasons that differ"
    UNREADABLE = "R15", "an order that cannot be read"
    HISTORY_REWRITTEN = "R16", "a history that was rewritten"
    KEY_MISLEADS = "R17", "a key that leads to another order"
    TWO_KEYS = "R17", "an order with two keys"
    TWICE_PLACED = "R17", "a second order for the same wish"
    STRANGER = "R18", "work for no order"
    NOBODY_DID = "R19", "an act of nobody"
    SENT_UNPAID = "A3", "sent before it was paid"

    @property
    def code(self) -> str:
        return self.value[0]

    @property
    def words(self) -> str:
        return self.value[1]

    def __str__(self) -> str:
        return " ".join(self.value)


@dataclass(frozen=True)
class Violation:
    """One invariant that does not hold: about which order, product or message, what, and the rows that disagree (by
    service and table)."""

    broken: Broken
    about: str
    what: str
    rows: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.broken}: {self.about}: {self.what}"

    def as_json(self) -> dict[str, Any]:
        """With plain values only."""
        return {
            "code": self.broken.code,
            "name": self.broken.words,
            "about": self.about,
            "what": self.what,
            "rows": {table: plain(row) for table, row in self.rows.items()},
        }


def plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(each) for each in value]
    return value.isoformat() if isinstance(value, datetime) else value


@dataclass
class Several:
    """How many there are of something, and the first of them."""

    count: int = 0
    example: str = ""

    def add(self, example: str) -> None:
        self.count += 1
        self.example = self.example or example

    def __str__(self) -> str:
        return f"{self.count:,}, such as {self.example}" if self.count > 1 else self.example

    def of(self, what: str) -> str:
        """`1 order, …` or `2 orders, such as …`."""
        return f"1 {what}, {self.example}" if self.count == 1 else f"{self.count:,} {what}s, such as {self.example}"
