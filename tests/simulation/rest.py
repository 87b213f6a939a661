"""What must be true when nothing is left to happen: every order has ended, and all books agree."""

from typing import TYPE_CHECKING

import msgspec

from inventory_service.receipts import DEMO_STOCK
from order_service.fulfillment.saga import OrderStatus, Reason
from order_service.fulfillment.workflow import amounts
from shared.messaging.worker import ATTEMPTS_ALONE
from tests.simulation.checks import must

if TYPE_CHECKING:
    from tests.simulation.people import Wanted
    from tests.simulation.world import World


class Rest:
    """A world at rest."""

    def __init__(self, world: "World") -> None:
        self.world = world

    def check(self) -> None:
        """When nothing is left to happen: every order has ended, the books balance, every message is accounted for."""
        for order_id, status in self.world.rows("order", "SELECT id, status FROM orders"):
            self._ended(order_id, OrderStatus(status))
        self._strangers()
        self._messages()
        left = self.world.rows("inventory", "SELECT sku FROM stock WHERE reserved <> 0")
        held = self.world.rows("inventory", "SELECT order_id FROM reservations WHERE status = 'reserved'")
        must(not left or held, f"{left} is reserved for nobody")
        self.world.people.are_answered()
        must(self.world.broker.idle(), "the broker still holds messages")

    def _ended(self, order_id: str, status: OrderStatus) -> None:
        wanted = self.world.people.find(order_id)
        name, done = wanted.name, status is OrderStatus.FULFILLED
        must(status.final, f"{name} rests, and is {status}")
        ((total, reason, facts, asleep),) = self.world.rows(
            "order",
            "SELECT total, o.reason, facts, wake_at FROM orders o JOIN sagas ON order_id = id WHERE id = ?",
            order_id,
        )
        must(asleep is None, f"{name} has ended, and waits for {asleep}")
        must(not wanted.cancelled or not done, f"{name} was cancelled, and is fulfilled")
        events = "SELECT event FROM saga_history WHERE order_id = ? AND outcome = 'acted'"
        granted = ("approval_granted",) in self.world.rows("order", events, order_id)
        must(not done or wanted.is_sound, f"{name} is fulfilled, with {wanted.token} to {wanted.country}")
        must(not done or granted == wanted.is_dear, f"{name} is fulfilled, {'' if granted else 'not '}approved")
        must((reason is None) == done, f"{name} is {status} because of {reason}")
        must(
            done or Reason(reason) in self._possible(wanted), f"{name} is cancelled, and {reason} cannot be the reason"
        )
        known = msgspec.json.decode(facts)
        believed = {each for each in self.world.liars.told if each[0] == order_id and known.get(each[1]) == each[2]}
        must(not believed, f"{name} believes what cannot be true: {believed}")
        self._money(order_id, wanted, total, done, amounts(known))
        self._goods(order_id, wanted, done)
        self._parcel(order_id, wanted, done)

    def _possible(self, wanted: "Wanted") -> set[Reason]:
        """Why this order may have turned back in this weather."""
        able = {
            Reason.PAYMENT_DECLINED: wanted.token == "tok_declined",
            Reason.OUT_OF_STOCK: wanted.is_scarce,
            Reason.UNDELIVERABLE: wanted.country == "BR",
            Reason.APPROVAL_EXPIRED: wanted.is_dear,
            Reason.CAPTURE_REFUSED: wanted.token == "tok_capture_refused",
            Reason.TIMED_OUT: not self.world.weather.prompt,
        }
        return {reason for reason, possible in able.items() if possible} | wanted.objections

    def _money(self, order_id: str, wanted: "Wanted", total: int, done: bool, shown: dict[str, int]) -> None:
        name = wanted.name
        query = (
            "SELECT kind, SUM(amount), COUNT(*) FROM card_network_books WHERE order_id = ? AND approved GROUP BY kind"
        )
        books = {kind: (amount, count) for kind, amount, count in self.world.rows("payment", query, order_id)}
        must(all(count == 1 for _, count in books.values()), f"the network did something twice for {name}: {books}")
        did = {kind: books.get(kind, (0, 0))[0] for kind in ("authorize", "capture", "void", "refund")}
        refused = self.world.rows("payment", "SELECT 1 FROM payments WHERE order_id = ? AND reversal_refused", order_id)
        if done:
            must(list(did.values()) == [total, total, 0, 0], f"{name} is fulfilled, but {did}")
        elif refused:
            must(did["void"] == did["refund"] == 0, f"of {name} the network kept what it gave back: {did}")
            must("payment" in wanted.settled, f"{name} is cancelled, {did} is kept, and nobody has seen to it")
        else:
            must(did["authorize"] in (0, did["void"] + did["refund"]), f"{name} is cancelled, money is held: {did}")
            must(did["capture"] == did["refund"], f"{name} is cancelled, money is kept: {did}")
        payments = self.world.rows(
            "payment",
            "SELECT authorized, captured, voided, refunded, status FROM payments WHERE order_id = ?",
            order_id,
        ) or [(0, 0, 0, 0, "voided")]
        must(list(did.values()) == list(payments[0][:4]), f"of {name} payment says {payments}, the network {did}")
        must(
            done or refused or payments[0][4] in ("voided", "refunded", "declined"),
            f"{name} is cancelled, {payments} is not undone",
        )
        ledger = dict(
            self.world.rows("payment", "SELECT kind, amount FROM payment_movements WHERE order_id = ?", order_id)
        )
        kept = {kind: amount for kind, amount in zip(shown, payments[0], strict=False) if amount}
        must(ledger == kept, f"the ledger of {name} says {ledger}, its payment {kept}")
        must(list(shown.values()) == list(did.values()), f"{name} shows {shown}, the network did {did}")

    def _goods(self, order_id: str, wanted: "Wanted", done: bool) -> None:
        found = self.world.rows("inventory", "SELECT status, lines FROM reservations WHERE order_id = ?", order_id)
        status, lines = found[0] if found else ("none", "{}")
        ends = {"issued", "reserved"} if "issue" in wanted.settled else {"issued"}
        must(
            status in (ends if done else {"released", "unavailable", "none"}), f"{wanted.name}: its goods are {status}"
        )
        asked = {line.sku: line.quantity for line in wanted.order.lines}
        must(not done or msgspec.json.decode(lines) == asked, f"{wanted.name}: {lines} were handed over, not {asked}")

    def _parcel(self, order_id: str, wanted: "Wanted", done: bool) -> None:
        query = "SELECT status, carrier, cancellation_refused FROM shipments WHERE order_id = ?"
        found = self.world.rows("shipping", query, order_id)
        status, carrier, refused = found[0] if found else ("none", None, False)
        if refused:
            seen = not done and "shipping" in wanted.settled
            must(seen, f"the parcel of {wanted.name} stays booked, and nobody has seen to it")
        ends = {"dispatched", "dispatching", "booked"} if "dispatch" in wanted.settled else {"dispatched"}
        ends = ends if done else {"booked"} if refused else {"cancelled", "refused", "none"}
        must(status in ends, f"{wanted.name}: its parcel is {status}")
        query = "SELECT party, kind FROM carrier_books WHERE order_id = ? AND approved"
        books = set(self.world.rows("shipping", query, order_id))
        held = {party for party, kind in books if kind == "book" and (party, "cancel") not in books}
        must(
            held == ({carrier} if done or refused else set()), f"{wanted.name}: {held} hold a booking, {carrier} should"
        )
        sent = {party for party, kind in books if kind == "dispatch"}
        must(
            sent == (set() if refused else held) or (done and not sent and "dispatch" in wanted.settled),
            f"{wanted.name}: {sent} has sent it",
        )

    def _strangers(self) -> None:
        known = {order_id for (order_id,) in self.world.rows("order", "SELECT id FROM orders")}
        tables = {
            "payment": ("payments", "card_network_books"),
            "inventory": ("reservations",),
            "shipping": ("shipments",),
        }
        for service, names in tables.items():
            for table in names:
                strange = {each for (each,) in self.world.rows(service, f"SELECT order_id FROM {table}")} - known
                must(not strange, f"{table} knows orders that there are not: {strange}")
        received = sum(DEMO_STOCK.values())
        (issued,) = self.world.rows(
            "inventory", "SELECT COALESCE(SUM(quantity), 0) FROM stock_movements WHERE kind = 'issued'"
        )[0]
        (left,) = self.world.rows("inventory", "SELECT SUM(on_hand) FROM stock")[0]
        must(received == issued + left, f"{received} received, {issued} issued, {left} left")

    def _messages(self) -> None:
        world, said = self.world, set()
        for service in world.services:
            for message, kind, published in self.world.rows(service, "SELECT id, type, published_at FROM outbox"):
                must(published, f"{kind} of {service} was never published")
                for queue in world.broker._routes[f"{service}.events", kind]:
                    said.add((queue.partition(".")[0], (service, message)))
        for service in world.services:
            inbox = set(map(tuple, self.world.rows(service, "SELECT producer, message_id FROM inbox")))
            buried = self.world.rows(service, "SELECT producer, message_id, reason FROM dead_letters")
            self._dead_letters(service, {message: reason for _, message, reason in buried})
            sent = {key for to, key in said if to == service}
            missing = sent - inbox - {(producer, message) for producer, message, _ in buried}
            missing = {key for key in missing if key[1] not in world.faults.lost}
            must(not missing, f"{len(missing)} messages never reached {service}, and nobody lost them")
            strange = {message for to, message in world.strangers.known if to == service}
            unsaid = {message for _, message in inbox - sent} - strange
            must(not unsaid, f"{service} took in messages that nobody said")

    def _dead_letters(self, service: str, letters: dict[str, str]) -> None:
        """Poison is buried for its own reason; nothing else is, but what was worked alone when its workers died."""
        poison = {message: reason for (to, message), reason in self.world.strangers.sent.items() if to == service}
        for message, reason in letters.items():
            if reason.startswith("lethal"):
                deaths = sum(each.deaths for each in self.world.processes if each.service == service)
                must(deaths >= ATTEMPTS_ALONE, f"{service} put a message aside as lethal, and died only {deaths} times")
            else:
                must(message in poison, f"{service} has a dead letter: {reason}")
                must(reason.startswith(poison[message]), f"{service} buried {poison[message]} for {reason}")
        missing = {message for to, message in self.world.strangers.arrived if to == service}
        missing -= letters.keys() | self.world.faults.lost
        must(not missing, f"poison is missing from the dead letters of {service}")
