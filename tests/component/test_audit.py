"""The auditor can fail: every kind of falsified book is found out, and true books pass."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import StringIO
from itertools import count
from pathlib import Path

import pytest
from rich.console import Console

from order_service.cli.client.rendering import is_final
from order_service.cli.system.audit import Findings, audit, audit_at_rest, open_databases, report
from order_service.cli.system.embedded import running_system
from order_service.cli.system.scenarios import TIMINGS, Play, capture_refused, declined, out_of_stock, plain


@pytest.fixture(scope="module")
def true_books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the databases of a system that fulfilled an order and cancelled three."""
    folder = tmp_path_factory.mktemp("true")
    with running_system(folder, TIMINGS) as system:
        for script in (plain, declined, out_of_stock, capture_refused):
            play = Play(system.urls)
            script(play)
            play.until("at its end", is_final)
            play.close()
        assert audit_at_rest(system.databases, wait=10).under_way == []
    return folder


@pytest.fixture
def tampered(true_books: Path, tmp_path: Path) -> Iterator[Callable[..., Findings]]:
    """Audits a copy of the true books after statements on them, each with the service whose books it changes."""
    copies = count()

    def tamper(*changes: tuple[str, str]) -> Findings:
        folder = tmp_path / str(next(copies))
        shutil.copytree(true_books, folder)
        databases = stack.enter_context(open_databases(f"sqlite:///{folder}/{{service}}.db"))
        for service, statement in changes:
            with databases[service].transaction() as connection:
                connection.exec_driver_sql("PRAGMA ignore_check_constraints = on")
                guards = (
                    connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars().all()
                )
                for guard in guards:  # a thief would take them away, too
                    connection.exec_driver_sql(f"DROP TRIGGER {guard}")
                changed = connection.exec_driver_sql(statement)
                assert changed.rowcount > 0
        return audit(databases)

    with ExitStack() as stack:
        yield tamper


def test_true_books_pass(tampered: Callable[..., Findings]) -> None:
    """Four orders of different ends, untouched: nothing differs and nothing is under way."""
    books = tampered()
    assert books.violations == []
    assert books.under_way == []
    assert books.orders.statuses == {"fulfilled": 1, "cancelled": 3}
    assert books.money.network == books.money.ledger
    assert books.money.network.kept == 2 * 1999


LAST_IS_MISSED = "DELETE FROM inbox WHERE message_id = (SELECT max(message_id) FROM inbox)"

FALSIFIED = {
    "money that only the ledger knows": (
        "payment",
        "UPDATE payment_movements SET amount = amount + 1 WHERE kind = 'captured'",
        ("by the ledger", "by the card network"),
    ),
    "a capture that the ledger forgot": (
        "payment",
        "DELETE FROM payment_movements WHERE kind = 'captured'",
        ("captured 0 by the ledger, 3998 by the card network",),
    ),
    "a second capture at the card network": (
        "payment",
        "INSERT INTO card_network_books SELECT key || ':2', party, order_id, kind, amount, approved, text, 1, at"
        " FROM card_network_books WHERE kind = 'capture' AND approved",
        ("card network", "captured 2 times"),
    ),
    "a void that never reached the network": (
        "payment",
        "DELETE FROM card_network_books WHERE kind = 'void'",
        ("voided", "0 by the card network"),
    ),
    "money kept of a cancelled order": (
        "payment",
        "UPDATE payments SET status = 'captured', captured = authorized, voided = 0 WHERE status = 'voided'",
        ("cancelled, but its payment is captured",),
    ),
    "a fulfilled order that was not paid": (
        "payment",
        "UPDATE payments SET status = 'voided', voided = captured, captured = 0 WHERE status = 'captured'",
        ("fulfilled, but its payment of 3998 is voided",),
    ),
    "a payment for an order that nobody placed": (
        "payment",
        "UPDATE payments SET order_id = '00000000-0000-7000-8000-000000000000' WHERE status = 'captured'",
        ("there is no such order",),
    ),
    "stock that vanished": (
        "inventory",
        "UPDATE stock SET on_hand = on_hand - 1 WHERE sku = 'POPULAR-LAMP'",
        ("POPULAR-LAMP: on_hand should be 998 by the ledger, is 997",),
    ),
    "stock reserved for nobody": (
        "inventory",
        "UPDATE stock SET reserved = reserved + 2 WHERE sku = 'DESK-PLANT'",
        ("DESK-PLANT: reserved should be 0 by the ledger, is 2",),
    ),
    "a movement without a reservation": (
        "inventory",
        "DELETE FROM stock_movements WHERE kind = 'issued'",
        ("0 POPULAR-LAMP issued, but 2 by its reservation",),
    ),
    "goods issued for a cancelled order": (
        "inventory",
        "UPDATE reservations SET status = 'issued' WHERE status = 'released'",
        ("cancelled, but its goods are issued",),
    ),
    "other goods than were ordered": (
        "inventory",
        "UPDATE reservations SET lines = '{\"COFFEE-MUG\": 2}' WHERE status = 'issued'",
        ("instead of {'POPULAR-LAMP': 2}",),
    ),
    "a parcel that no carrier has": (
        "shipping",
        "DELETE FROM carrier_books WHERE kind = 'dispatch'",
        ("never did",),
    ),
    "a parcel under way for a cancelled order": (
        "shipping",
        "DELETE FROM carrier_books WHERE kind = 'cancel'",
        ("cancelled with", "carry it"),
    ),
    "a parcel that was never sent": (
        "shipping",
        "UPDATE shipments SET status = 'booked' WHERE status = 'dispatched'",
        ("fulfilled, but its parcel is booked",),
    ),
    "another tracking number than the customer's": (
        "shipping",
        "UPDATE shipments SET tracking_number = 'NW0' WHERE status = 'dispatched'",
        ("the customer was told of parcel", "by the carrier"),
    ),
    "a gap in the history": (
        "order",
        "DELETE FROM saga_history WHERE seq = 2",
        ("entries of history up to",),
    ),
    "a status that the history does not know": (
        "order",
        "UPDATE orders SET status = 'cancelled' WHERE status = 'fulfilled'",
        ("end with fulfilled", "cancelled, but its payment is captured"),
    ),
    "an amount that the customer was not told": (
        "order",
        "UPDATE sagas SET facts = replace(facts, '\"captured\":3998', '\"captured\":1') WHERE facts LIKE '%3998%'",
        ("the customer was told",),
    ),
    "an order of another total": (
        "order",
        "UPDATE orders SET total = total + 1 WHERE status = 'fulfilled'",
        ("fulfilled, but its payment of 3999",),
    ),
    "a dead letter": (
        "shipping",
        "INSERT INTO dead_letters (message_id, reason, state, type, version, producer, digest, correlation_id,"
        " occurred_at, content_type, body, size, drops, received_at)"
        " VALUES ('x', 'malformed', 'parked', 'x', 1, 'x', '', 'x', '2026-01-01', 'x', x'00', 1, 0, '2026-01-01')",
        ("shipping: messages: 1 dead letters",),
    ),
}


@pytest.mark.parametrize("falsified", FALSIFIED)
def test_falsified_books_are_found_out(falsified: str, tampered: Callable[..., Findings]) -> None:
    """One statement that a thief, a bug or a restored backup could have run is reported, and where."""
    service, statement, signs = FALSIFIED[falsified]
    found = "\n".join(map(str, tampered((service, statement)).violations))
    for sign in signs:
        assert sign in found


@pytest.mark.parametrize(
    ("service", "row", "entered"),
    [
        (
            "payment",
            "UPDATE payments SET status = 'capturing', captured = 0 WHERE status = 'captured'",
            "DELETE FROM payment_movements WHERE kind = 'captured'",
        ),
        (
            "payment",
            "UPDATE payments SET status = 'authorized', reversing = true, voided = 0 WHERE status = 'voided'",
            "DELETE FROM payment_movements WHERE kind = 'voided'",
        ),
        (
            "shipping",
            "UPDATE shipments SET status = 'booked', cancelling = true WHERE status = 'cancelled' AND carrier <> ''",
            "DELETE FROM inbox WHERE message_id = (SELECT max(message_id) FROM inbox)",
        ),
    ],
)
def test_what_was_asked_for_may_be_done_already(
    service: str, row: str, entered: str, tampered: Callable[..., Findings]
) -> None:
    """Between an answer from outside and its entry both may differ by what was asked for. Nobody may end so."""
    found = tampered((service, row), (service, entered)).violations
    assert {each.where for each in found} == {"order"}
    assert all("cancelled, but" in each.what or "fulfilled, but" in each.what for each in found)


def test_what_a_person_has_settled_is_in_nobodys_books(tampered: Callable[..., Findings]) -> None:
    """An order whose dispatch an operator has settled is fulfilled without a carrier's word, and is no difference."""
    unsent = ("shipping", "UPDATE shipments SET status = 'dispatching' WHERE status = 'dispatched'")
    by_hand = "UPDATE saga_history SET event = 'settlement_requested' WHERE event = 'shipment.dispatched'"
    assert tampered(unsent).violations != []
    assert tampered(unsent, ("order", by_hand)).violations == []


def test_what_was_lost_and_made_good_is_not_under_way(tampered: Callable[..., Findings]) -> None:
    """A message that never came, where a later one about the same order was worked and the order ended, is told apart
    from one that is still missed."""
    books = tampered(("payment", "DELETE FROM inbox WHERE message_id = (SELECT min(message_id) FROM inbox)"))
    assert books.under_way == []
    assert books.violations == []
    assert {name: len(ids) for name, ids in books.messages.made_good.items()} == {"payment": 1}
    screen = Console(file=StringIO(), width=150)
    screen.print(report(books))
    assert "1 messages were lost on their way to payment, and made good by later ones" in screen.file.getvalue()


@pytest.mark.parametrize(
    ("service", "statement", "sign"),
    [
        (
            "payment",
            LAST_IS_MISSED,
            "not yet worked by payment: 1 message, 0",
        ),
        (
            "order",
            "UPDATE outbox SET published_at = NULL WHERE type = 'dispatch.requested'",
            "not yet published by order: 1 message, 0",
        ),
        ("order", "UPDATE orders SET status = 'paid' WHERE status = 'fulfilled'", "paid: 1 order, 0"),
    ],
)
def test_what_is_not_at_rest_is_under_way(
    service: str, statement: str, sign: str, tampered: Callable[..., Findings]
) -> None:
    """A message that nobody has worked, one that nobody has published, an order without an end: named, each as such."""
    assert sign in "\n".join(tampered((service, statement)).under_way)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ([], "The books add up: every order, cent, piece and parcel is accounted for"),
        (
            [("payment", LAST_IS_MISSED)],
            "The books add up so far: not everything has come to rest",
        ),
        ([("shipping", "DELETE FROM shipments WHERE status = 'dispatched'")], "The books do not add up: "),
    ],
)
def test_the_last_line_is_the_verdict(
    changes: list[tuple[str, str]], verdict: str, tampered: Callable[..., Findings]
) -> None:
    """Findings are not said to add up while something is under way that may yet change them."""
    terminal = Console(file=StringIO(), width=120)
    with terminal.capture() as printed:
        terminal.print(report(tampered(*changes)))
    assert printed.get().splitlines()[-1].startswith(verdict)


def test_what_could_not_be_undone_is_told_and_shown(tmp_path: Path) -> None:
    """The card network will not void: the order waits for a person and says why; settled with a note, it ends, its
    customer is told what is still held, and the books agree that this is so."""
    with running_system(tmp_path, TIMINGS) as system:
        play = Play(system.urls)
        play.place(sku="RARE-VASE", quantity=4, card="tok_void_refused")
        play.until("in need of a person", lambda order: bool(order["needs_attention"]))
        (payment, *_) = play.order["steps"]
        books = audit(system.databases)
        assert books.need_a_person == [play.order["id"]]
        assert f"cancelling: 1 order, {play.order['id']}" in books.under_way
        assert (payment["status"], payment["problem"]) == (
            "compensating",
            "refused: the authorization has expired",
        )
        play.operator.post(f"/orders/{play.order['id']}/steps/payment/settle", {"note": "the bank frees it on Friday"})
        play.until("at its end", is_final)
        assert play.order["status"] == "cancelled"
        assert not play.order["needs_attention"]
        total = play.order["total"]
        assert play.order["payment"] == {"authorized": total, "captured": 0, "voided": 0, "refunded": 0}
        assert play.order["steps"][0]["problem"] == payment["problem"]
        play.close()
        books = audit_at_rest(system.databases, wait=10)
    assert books.violations == []
    assert books.under_way == []
    assert books.money.network.held == total
    assert books.by_hand == [
        f"{play.order['id']}: payment; its payment is authorized, {total / 100:.2f} EUR held, 0.00 EUR kept"
    ]
    screen = Console(file=StringIO(), width=150)
    screen.print(report(books))
    text = screen.file.getvalue()
    assert f"settled by hand: {books.by_hand[0]}\n" in text
    assert text.splitlines()[-1] == "The books add up, but for what people have settled by hand"
