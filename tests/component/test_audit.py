"""The auditor can fail: every kind of corruption is found, as itself and nothing else, and true books pass."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import count
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from order_service.cli import fulfillment
from order_service.cli.client.rendering import is_final
from order_service.cli.system.audit import Broken, Findings, Scope, audit, audit_at_rest, open_databases, report
from order_service.cli.system.embedded import running_system
from order_service.cli.system.scenarios import TIMINGS, Play, capture_refused, declined, out_of_stock, plain
from tests.component.corruptions import RECHAIN, rechain
from tests.component.corruptions_at_home import AT_HOME
from tests.component.corruptions_elsewhere import ELSEWHERE

CORRUPTIONS = AT_HOME | ELSEWHERE
EVERYTHING = Scope()


@pytest.fixture(scope="module")
def true_books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the databases of a system that fulfilled the same wish twice, under two keys, and cancelled three
    orders."""
    folder = tmp_path_factory.mktemp("true")
    with running_system(folder, TIMINGS) as system:
        for script in (plain, declined, out_of_stock, plain, capture_refused):
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

    def tamper(*changes: tuple[str, str], scope: Scope = EVERYTHING) -> Findings:
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
                if statement is RECHAIN:
                    rechain(connection)
                else:
                    assert connection.exec_driver_sql(statement).rowcount > 0
        return audit(databases, scope, page=2)

    with ExitStack() as stack:
        yield tamper


def test_true_books_pass(tampered: Callable[..., Findings]) -> None:
    """Five orders of different ends, untouched: nothing is violated, nothing is under way, and all is counted."""
    found = tampered()
    assert found.violations == []
    assert found.under_way == []
    assert found.statuses == {"fulfilled": 2, "cancelled": 3}
    assert found.network == found.ledger
    assert found.network.kept == 4 * 1999
    assert found.checked["orders"] == found.checked["keys"] == found.checked["payments"] == 5
    assert found.checked["messages"] > found.checked["lines of history"] > 25
    assert found.checked["messages received"] == found.checked["messages"]
    assert found.checked["shipments"] == 3
    assert found.checked["dead letters"] == 0


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_corruption_is_reported_as_itself_and_nothing_else(
    corruption: str, tampered: Callable[..., Findings]
) -> None:
    """What a thief, a bug or a restored backup could have done is found, and called what it is, with its rows."""
    broken, changes = CORRUPTIONS[corruption]
    found = tampered(*changes)
    assert {each.broken for each in found.violations} == {broken}, [str(each) for each in found.violations]
    assert all(any(each.rows.values()) for each in found.violations)
    assert json.loads(json.dumps(found.as_json()))["violations_by_kind"][str(broken)] == found.total


def test_every_kind_of_violation_is_planted() -> None:
    """No invariant is checked of which it is not proven that it can fail."""
    assert {each.broken for each in CORRUPTIONS.values()} == set(Broken)


def test_every_kind_of_violation_is_documented() -> None:
    """The table of the page is the list of kinds, in its order."""
    page = (Path(__file__).parents[2] / "docs/audit.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    assert rows[1:] == [list(each.value) for each in Broken]


def test_a_violation_is_told_with_its_code_its_order_and_its_rows(tampered: Callable[..., Findings]) -> None:
    """For people: the invariant, the order, what disagrees, and the rows of each service."""
    found = tampered(*CORRUPTIONS["goods that came back"].changes)
    screen = Console(file=StringIO(), width=400)
    screen.print(report(found))
    lines = screen.file.getvalue().splitlines()
    (first, *_) = (number for number, line in enumerate(lines) if line.startswith("R4 money without goods: "))
    assert lines[first].rstrip().endswith("fulfilled, but its goods are released")
    assert lines[first + 1].startswith("    order.orders: ")
    assert any(line.startswith("    inventory.reservations: {'status': 'released'") for line in lines[first:])
    assert lines[-1] == "The books do not add up: 2 violations"


def test_some_orders_are_audited_alone(tampered: Callable[..., Findings]) -> None:
    """One order by its id, or those that something happened to since a moment; what is no single order's is left
    out."""
    changes = CORRUPTIONS["a movement deleted"].changes
    (first, second) = (each.about for each in tampered(*changes).violations)
    found = tampered(*changes, scope=Scope(only=[second]))
    assert [each.about for each in found.violations] == [second]
    assert (found.checked["orders"], found.checked["messages"]) == (1, 0)
    assert tampered(*changes, scope=Scope(since=datetime.now(UTC) + timedelta(days=1))).checked["orders"] == 0
    recent = tampered(*changes, scope=Scope(since=datetime.now(UTC) - timedelta(days=1)))
    assert {each.about for each in recent.violations} == {first, second}


def test_the_command_says_what_it_checked(true_books: Path) -> None:
    """As JSON or in words; exit code 0 when all is well, 1 for an order that is not there."""
    database = ["audit", "--database", f"sqlite:///{true_books}/{{service}}.db"]
    result = CliRunner().invoke(fulfillment, [*database, "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    assert told["clean"]
    assert told["checked"]["orders"] == 5
    assert set(told["violations_by_kind"].values()) == {0}
    said = CliRunner().invoke(fulfillment, database)
    assert "checked: 5 orders (3 cancelled, 2 fulfilled)" in said.output.replace("\n", " ")
    unknown = CliRunner().invoke(fulfillment, [*database, "--order", "00000000-0000-7000-8000-000000000000"])
    assert unknown.exit_code == 1
    assert "1 of these orders is not there" in unknown.output
    assert CliRunner().invoke(fulfillment, [*database, "--since", "2026-01-01T00:00"]).exit_code == 0


LAST_IS_MISSED = "DELETE FROM inbox WHERE message_id = (SELECT max(message_id) FROM inbox)"


@pytest.mark.parametrize(
    ("broken", "service", "row", "entered"),
    [
        (
            Broken.GOODS_WITHOUT_MONEY,
            "payment",
            "UPDATE payments SET status = 'capturing', captured = 0 WHERE status = 'captured'",
            "DELETE FROM payment_movements WHERE kind = 'captured'",
        ),
        (
            Broken.MONEY_HELD,
            "payment",
            "UPDATE payments SET status = 'authorized', reversing = true, voided = 0 WHERE status = 'voided'",
            "DELETE FROM payment_movements WHERE kind = 'voided'",
        ),
        (
            Broken.PARCEL_BOOKED,
            "shipping",
            "UPDATE shipments SET status = 'booked', cancelling = true WHERE status = 'cancelled' AND carrier <> ''",
            "DELETE FROM inbox WHERE message_id = (SELECT max(message_id) FROM inbox)",
        ),
    ],
)
def test_what_was_asked_for_may_be_done_already(
    broken: Broken, service: str, row: str, entered: str, tampered: Callable[..., Findings]
) -> None:
    """Between an answer from outside and its entry both may differ by what was asked for. Nobody may end so."""
    found = tampered((service, row), (service, entered)).violations
    assert {each.broken for each in found} == {broken}


def test_what_a_person_has_settled_is_in_nobodys_books(tampered: Callable[..., Findings]) -> None:
    """An order whose dispatch an operator has settled is fulfilled without a carrier's word, and is no difference."""
    unsent = ("shipping", "UPDATE shipments SET status = 'dispatching' WHERE status = 'dispatched'")
    by_hand = "UPDATE saga_history SET event = 'settlement_requested', actor = 'operator:olga'"
    settled = ("order", f"{by_hand} WHERE event = 'shipment.dispatched'"), ("order", RECHAIN)
    carried = ("shipping", "DELETE FROM carrier_books WHERE kind = 'dispatch'")
    assert {each.broken for each in tampered(unsent, carried).violations} == {Broken.NOT_SENT}
    assert tampered(unsent, carried, *settled).violations == []


def test_what_was_lost_and_made_good_is_not_under_way(tampered: Callable[..., Findings]) -> None:
    """A message that never came, where a later one about the same order was worked and the order ended, is told apart
    from one that is still missed."""
    books = tampered(("payment", "DELETE FROM inbox WHERE message_id = (SELECT min(message_id) FROM inbox)"))
    assert books.under_way == []
    assert books.violations == []
    assert {name: lost.count for name, lost in books.messages.made_good.items()} == {"payment": 1}
    screen = Console(file=StringIO(), width=150)
    screen.print(report(books))
    assert "1 message was lost on the way to payment, and made good by later ones" in screen.file.getvalue()


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
            "not yet published by order: 2 messages, such as 0",
        ),
        (
            "order",
            "UPDATE outbox SET published_at = NULL WHERE type = 'stock.issue_requested'",
            "not yet published by order: 2 messages, such as 0",
        ),
    ],
)
def test_what_is_not_at_rest_is_under_way(
    service: str, statement: str, sign: str, tampered: Callable[..., Findings]
) -> None:
    """A message that nobody has worked, one that nobody has published: named, each as such."""
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
        assert (books.need_a_person.count, books.need_a_person.example) == (1, play.order["id"])
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
    assert books.network.held == total
    assert books.by_hand == [
        f"{play.order['id']}: payment; its payment is authorized, {total / 100:.2f} EUR held, 0.00 EUR kept"
    ]
    screen = Console(file=StringIO(), width=150)
    screen.print(report(books))
    text = screen.file.getvalue()
    assert f"settled by hand: {books.by_hand[0]}\n" in text
    assert text.splitlines()[-1] == "The books add up, but for what people have settled by hand"
