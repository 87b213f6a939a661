"""What must be true after every step; the outside's own books are the witness."""

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from order_service.fulfillment.saga import OrderStatus, Progress, Reason

if TYPE_CHECKING:
    from tests.simulation.world import World


RANK = [*OrderStatus].index
STEPS = msgspec.json.Decoder(dict[str, Progress])


class Violation(AssertionError):
    """A promise is broken; the text says which."""


def must(promise: object, otherwise: str) -> None:
    if not promise:
        raise Violation(otherwise)


class Checks:
    """The invariants of one world."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self._changes = {name: each.raw.total_changes for name, each in world.databases.items()}
        self._seen: dict[str, tuple[OrderStatus, int]] = {}
        self._captured: set[str] = set()
        self._dispatched: set[str] = set()

    def at_once(self) -> None:
        """What each service has committed by now breaks no promise; raises Violation."""
        look = {
            "order": self._orders_move_forward,
            "payment": self._captures_are_due,
            "inventory": self._stock_is_what_moved,
            "shipping": self._dispatches_are_paid,
        }
        for name, each in self.world.databases.items():
            if self._changes[name] != (changes := each.raw.total_changes):
                self._changes[name] = changes
                look[name]()

    def _orders_move_forward(self) -> None:
        query = (
            "SELECT id, o.status, o.reason, s.reason, version, steps FROM orders o JOIN sagas s ON s.order_id = o.id"
        )
        for order_id, status, reason, same, version, steps in self.world.rows("order", query):
            was, last = self._seen.get(order_id, (OrderStatus.PENDING, 0))
            if version == last:
                continue
            name, now = self.world.people.name(order_id), OrderStatus(status)
            must(version > last, f"the version of {name} fell from {last} to {version}")
            must(RANK(now) >= RANK(was) and not (was.final and now is not was), f"{name} went from {was} to {now}")
            must(reason == same, f"{name} gives the reason {reason}, its saga {same}")
            self._history(order_id, name, now, version)
            self._contradictions(order_id, name, STEPS.decode(steps))
            self._seen[order_id] = now, version
            self.world.people.see(order_id, now, STEPS.decode(steps))
            if self.world.weather.prompt:
                (attention,) = self.world.rows("order", "SELECT needs_attention FROM orders WHERE id = ?", order_id)[0]
                kept = self.world.people.find(order_id).may_be_kept
                must(
                    (kept or not attention) and reason != Reason.TIMED_OUT,
                    f"{name} is parked, although everyone answers in time",
                )

    def _history(self, order_id: str, name: str, status: OrderStatus, version: int) -> None:
        query = "SELECT seq, event, from_status, to_status FROM saga_history WHERE order_id = ? ORDER BY seq"
        entries = self.world.rows("order", query, order_id)
        must([seq for seq, *_ in entries] == list(range(1, version + 1)), f"the history of {name} has a gap")
        must(entries[0][1] == "order_placed" and entries[-1][3] == status, f"the history of {name} tells another story")
        must(all(one[3] == other[2] for one, other in pairwise(entries)), f"a line of the history of {name} is missing")

    def _contradictions(self, order_id: str, name: str, steps: Mapping[str, Progress]) -> None:
        """Whoever heard just now what cannot be true has called a person, unless one has seen to it before."""
        query = """SELECT outcome, needs_attention FROM saga_history h JOIN orders o ON o.id = h.order_id
            WHERE o.id = ? ORDER BY seq DESC LIMIT 1"""
        ((outcome, attention),) = self.world.rows("order", query, order_id)
        if outcome.startswith("noted: contradicts"):
            seen = any(step.problem and step.problem.settled for step in steps.values())
            must(attention or seen, f"{name} heard what cannot be true, and calls nobody")

    def _captures_are_due(self) -> None:
        wrong = self.world.rows(
            "payment", "SELECT order_id FROM payments WHERE captured > authorized OR refunded > captured"
        )
        must(not wrong, f"amounts make no sense: {wrong}")
        kinds = "SELECT order_id FROM card_network_books WHERE kind = 'capture' AND approved"
        for (order_id,) in self.world.rows("payment", kinds):
            if order_id not in self._captured:
                self._captured.add(order_id)
                name = self.world.people.name(order_id)
                reserved = "SELECT 1 FROM stock_movements WHERE reference = ? AND kind = 'reserved'"
                must(
                    self.world.rows("inventory", reserved, order_id),
                    f"{name} is captured, and nothing was reserved for it",
                )
                booked = "SELECT 1 FROM carrier_books WHERE order_id = ? AND kind = 'book' AND approved"
                must(self.world.rows("shipping", booked, order_id), f"{name} is captured, and no carrier was booked")

    def _stock_is_what_moved(self) -> None:
        wrong = self.world.rows("inventory", "SELECT * FROM stock WHERE reserved < 0 OR on_hand < reserved")
        must(not wrong, f"oversold: {wrong}")
        moved = """SELECT k.sku FROM stock k LEFT JOIN stock_movements m ON m.sku = k.sku GROUP BY k.sku
            HAVING k.on_hand <> SUM(CASE kind WHEN 'received' THEN quantity WHEN 'issued' THEN -quantity ELSE 0 END)
            OR k.reserved <> SUM(CASE kind WHEN 'reserved' THEN quantity WHEN 'received' THEN 0 ELSE -quantity END)"""
        must(not (wrong := self.world.rows("inventory", moved)), f"the stock is not the sum of its movements: {wrong}")

    def _dispatches_are_paid(self) -> None:
        kinds = "SELECT order_id FROM carrier_books WHERE kind = 'dispatch' AND approved"
        for (order_id,) in self.world.rows("shipping", kinds):
            if order_id not in self._dispatched:
                self._dispatched.add(order_id)
                paid = "SELECT kind FROM card_network_books WHERE order_id = ? AND approved AND kind <> 'authorize'"
                kept = self.world.rows("payment", paid, order_id) == [("capture",)]
                must(kept, f"{self.world.people.name(order_id)} is dispatched and not paid")
