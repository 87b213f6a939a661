"""What an audit has found, kept small however much it has read."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from order_service.cli.system.audit.goods import Goods
from order_service.cli.system.audit.letters import Messages
from order_service.cli.system.audit.money import MOVED, NOTHING, Amounts
from order_service.cli.system.audit.violations import KEPT, Broken, Several, Violation


@dataclass
class Findings:
    """How many of what were looked at, every violation, what is still under way, and the sums of all books."""

    whole: bool = True  # not some orders only
    checked: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)  # orders
    violations: list[Violation] = field(default_factory=list)  # the first KEPT; `counts` has them all
    counts: Counter[Broken] = field(default_factory=Counter)
    open: dict[str, Several] = field(default_factory=dict)  # orders that have not ended, by status
    need_a_person: Several = field(default_factory=Several)
    by_hand: list[str] = field(default_factory=list)  # what people have settled in orders that have ended
    currency: str = ""
    ledger: Amounts = NOTHING
    network: Amounts = NOTHING  # by the card network's own books
    goods: Goods = field(default_factory=Goods)
    carriers: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # by carrier, by kind
    messages: Messages = field(default_factory=Messages)

    def add(self, violation: Violation) -> None:
        self.counts[violation.broken] += 1
        if len(self.violations) < KEPT:
            self.violations.append(violation)

    def settled_by_hand(self, what: str) -> None:
        self.checked["steps settled by hand"] += 1
        if len(self.by_hand) < KEPT:
            self.by_hand.append(what)

    def moved(self, kind: str, amount: int) -> None:
        """The card network has moved this."""
        self.network = self.network.plus(Amounts(**{MOVED[kind]: amount}))

    @property
    def total(self) -> int:
        """How many violations there are."""
        return self.counts.total()

    @property
    def under_way(self) -> list[str]:
        """What has not come to rest: the books of the orders that it is about are still being written."""
        found = [f"{status.replace('_', ' ')}: {each.of('order')}" for status, each in sorted(self.open.items())]
        for what, by_service in (
            ("published", self.messages.unpublished),
            ("worked", self.messages.unworked),
            ("replayed", self.messages.replaying),
        ):
            found += [f"not yet {what} by {name}: {each.of('message')}" for name, each in by_service.items()]
        return found

    def as_json(self) -> dict[str, Any]:
        """With plain values only."""
        return {
            "clean": not self.total,
            "whole": self.whole,
            "checked": dict(self.checked),
            "orders": dict(self.statuses),
            "violations_total": self.total,
            "violations_by_kind": {str(kind): self.counts[kind] for kind in Broken},
            "violations": [each.as_json() for each in self.violations],
            "under_way": self.under_way,
            "need_a_person": self.need_a_person.count,
            "settled_by_hand": self.by_hand,
            "made_good": {name: each.count for name, each in self.messages.made_good.items()},
            "money": {"currency": self.currency, "ledger": self.ledger._asdict(), "network": self.network._asdict()},
        }
