"""Data that was lost, and what the reconciliation makes of it: in the end the books add up, or say what is left."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from order_service.cli.client.rendering import is_final
from order_service.cli.system.audit import Findings, audit_at_rest
from order_service.cli.system.audit.violations import Broken, Violation
from order_service.cli.system.embedded import OPERATOR, System, running_system
from order_service.cli.system.scenarios import Play
from order_service.participants import Asker
from order_service.reconciliation.process import AsOperator
from order_service.reconciliation.reconciler import Reconciler, Report
from order_service.terms import flows, terms
from shared.clock import DatabaseClock
from shared.messaging.durability.republishing import republish
from shared.messaging.notifier import Notifier
from shared.service import services

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

TIMINGS = {  # nobody turns back for silence here, and what is asked for again is asked for soon
    "step_timeouts": "payment=1,inventory=1,shipping=1,capture=1,issue=1,dispatch=1",
    "step_attempts": "payment=60,inventory=60,shipping=60",
    "slowest_pace": "1",
}
GRACE = timedelta(seconds=1)
PATIENCE = 60.0  # seconds
OUTSIDE = {"payment": "card_network_books", "shipping": "carrier_books"}


class Shop:
    """A running system, its customers, and the reconciliation."""

    def __init__(self, system: System) -> None:
        self.system, self.plays, self.healed = system, list[Play](), Report()
        settings = services()["order"].settings(environ={}, **TIMINGS)
        self.notifier = Notifier(system.databases["order"])
        self.notifier.listen(system.workers["order"].wake, other_processes=False)
        self.reconciler = Reconciler(
            database=system.databases["order"],
            flows=flows(settings),
            terms=terms(settings),
            clock=DatabaseClock(),
            notifier=self.notifier,
            source=AsOperator(asker=Asker(urls=system.urls), token=OPERATOR),
            grace=GRACE,
        )

    def place(self, **wish: str) -> Play:
        play = Play(self.system.urls)
        play.place(**wish)  # type: ignore[arg-type]  # a sku, a card or a country
        self.plays.append(play)
        return play

    def place_some(self) -> list[Play]:
        """One that is fulfilled, one that is declined, one that nobody delivers, and one that awaits approval."""
        some = [self.place(), self.place(card="tok_declined"), self.place(country="NZ"), self.place(sku="LINEN-SOFA")]
        for each in some[:3]:
            each.until_end()
        some[3].until_status("awaiting_approval")
        return some

    def play(self, order_id: str) -> Play:
        """An order that is there already."""
        play = Play(self.system.urls, order={"id": order_id})
        play.order = play.operator.get(f"/orders/{order_id}")
        self.plays.append(play)
        return play

    def heal(self, since: datetime | None = None, *expected: Broken) -> Findings:
        """Round after round, until all has ended and nothing differs; returns the books."""
        until = time.monotonic() + PATIENCE
        while True:
            report = self.reconciler.round(since)
            assert report.silent == set()
            self.healed.healed += report.healed
            self.healed.found_again += report.found_again
            books = audit_at_rest(self.system.databases, wait=GRACE.total_seconds() + 0.5)
            left = [each for each in books.under_way if "approval" not in each]
            calm = not report.healed and not report.found_again and not left and not left_over(books, *expected)
            if calm or time.monotonic() > until:
                return books

    def close(self) -> None:
        for each in self.plays:
            each.close()
        self.notifier.close()


def left_over(found: Findings, *expected: Broken) -> list[Violation]:
    """What is wrong, but for what nothing can bring back: who said what a lost outbox held, and calls of persons."""
    known = (Broken.GHOST, Broken.FINAL_ATTENTION, *expected)
    return [each for each in found.violations if each.broken not in known]


@contextmanager
def shop(folder: Path) -> Iterator[Shop]:
    with running_system(folder, TIMINGS) as system, closing(Shop(system)) as found:
        yield found


def standing(system: System) -> dict[str, tuple[str, bool]]:
    """How each order stands, and whether it needs a person."""
    with system.databases["order"].reading() as connection:
        found = connection.exec_driver_sql("SELECT id, status, needs_attention FROM orders")
        return {order_id: (status, bool(attention)) for order_id, status, attention in found}


def back_up(folder: Path, service: str) -> None:
    """Copy a service's database while the system runs."""
    with (
        closing(sqlite3.connect(folder / f"{service}.db")) as live,
        closing(sqlite3.connect(folder / f"{service}.backup")) as copy,
    ):
        live.backup(copy)


def restore(folder: Path, service: str) -> None:
    """Put the copy in place of the database; the network's and the carriers' own books, which are elsewhere in the real
    world, stay as they are."""
    later = folder / f"{service}.later"
    (folder / f"{service}.db").rename(later)
    for leftover in folder.glob(f"{service}.db-*"):
        leftover.rename(folder / f"{service}.later{leftover.name.removeprefix(f'{service}.db')}")
    (folder / f"{service}.backup").rename(folder / f"{service}.db")
    if table := OUTSIDE.get(service):
        with closing(sqlite3.connect(folder / f"{service}.db")) as connection:
            connection.execute("ATTACH ? AS later", (str(later),))
            connection.execute(f"INSERT OR IGNORE INTO {table} SELECT * FROM later.{table}")
            connection.commit()


def publish_again(system: System, since: datetime) -> None:
    for name, database in system.databases.items():
        republish(services()[name].tables.outbox, database, services()[name].clock, since)
        system.workers[name].wake()


def history(system: System, order_id: str) -> list[tuple[str, str]]:
    with system.databases["order"].reading() as connection:
        query = f"SELECT event, actor FROM saga_history WHERE order_id = '{order_id}' ORDER BY seq"
        return [(event, actor) for event, actor in connection.exec_driver_sql(query)]


def test_the_order_database_is_restored_from_an_older_copy(tmp_path: Path) -> None:
    """Orders placed since are found again: what can be undone is, and who paid for what has left is asked of a person.
    Orders that ended since end again as they did, and one that was cancelled is cancelled."""
    with shop(tmp_path) as before:
        kept = before.place_some()
        cancelled, approved = before.place(sku="LINEN-SOFA"), kept[3]
        cancelled.until_status("awaiting_approval")
        back_up(tmp_path, "order")
        since = datetime.now(UTC)
        forgotten = before.place_some()
        approved.approve("approve")
        approved.until_end()
        cancelled.cancel(wins=True)
        cancelled.until_end()
    restore(tmp_path, "order")
    with shop(tmp_path) as after:
        publish_again(after.system, since)
        books = after.heal()
        again = after.play(approved.order["id"])
        assert again.order["needs_attention"]
        again.approve("approve")
        books = after.heal()
        assert left_over(books) == []
        assert books.under_way == []
        orders = standing(after.system)
        ids = [each.order["id"] for each in forgotten]
        assert set(after.healed.found_again) == set(ids)
        assert [orders[each][0] for each in ids] == ["fulfilled", "cancelled", "cancelled", "cancelled"]
        assert [each for each, (_, attention) in orders.items() if attention] == ids[:1]
        assert orders[cancelled.order["id"]][0] == "cancelled"
        assert orders[kept[0].order["id"]][0] == "fulfilled"
        assert history(after.system, ids[0])[0] == ("work_found", "reconciliation")


@pytest.mark.parametrize("service", ["payment", "inventory", "shipping"])
def test_a_participants_database_is_restored_from_an_older_copy(service: str, tmp_path: Path) -> None:
    """What it has forgotten of orders that have ended since it does again under the same keys, and undoes again."""
    with shop(tmp_path) as before:
        waiting = before.place_some()[3]
        back_up(tmp_path, service)
        some = before.place_some()
        some[3].approve("refuse")
        some[3].until_end()
    restore(tmp_path, service)
    with shop(tmp_path) as after:
        after.play(waiting.order["id"]).approve("approve")
        books = after.heal(datetime.now(UTC) - timedelta(hours=1))
        assert left_over(books) == []
        assert books.under_way == []
        assert books.need_a_person.count == 0
        healed = {each.difference.meaning for each in after.healed.healed}
        assert "work_forgotten" in healed


def test_rows_deleted_by_hand(tmp_path: Path) -> None:
    """An order, the payment of another and the shipment of a third are deleted: they are there again. The
    history of the first, which nobody can delete, does not go on where it was, and the auditor says so."""
    with shop(tmp_path) as running:
        plays = [running.place() for _ in range(4)]
        for each in plays:
            each.until_end()
        order, paid, held, sent = [each.order["id"] for each in plays]
        gone = {
            "order": [f"DELETE FROM {table} WHERE {column} = '{order}'" for table, column in (
                ("sagas", "order_id"), ("orders", "id"), ("idempotency_keys", "order_id"))],
            "payment": [f"DELETE FROM payments WHERE order_id = '{paid}'",
                        f"DELETE FROM payment_movements WHERE order_id = '{paid}'"],
            "shipping": [f"DELETE FROM shipments WHERE order_id = '{sent}'"],
        }  # fmt: skip
        assert held
        for service, statements in gone.items():
            with running.system.databases[service].transaction() as connection:
                for statement in statements:
                    connection.exec_driver_sql(statement)
        books = running.heal(datetime.now(UTC) - timedelta(hours=1), Broken.HISTORY_TORN)
        assert [(each.broken, each.about) for each in left_over(books)] == [(Broken.HISTORY_TORN, order)]
        assert running.healed.found_again == [order]
        assert [each for each, (_, attention) in standing(running.system).items() if attention] == [order]
        assert ("difference_found", "reconciliation") in history(running.system, paid)


def test_all_that_is_under_way_is_lost(tmp_path: Path) -> None:
    """All messages were published and none arrives, as when a broker's data is wiped or a queue purged: orders that
    stand still are asked for again, although their own deadlines are far away."""
    patient = TIMINGS | {"step_timeouts": "", "step_attempts": ""}
    with running_system(tmp_path, patient) as system:
        system.workers["payment"].end()
        plays = [Play(system.urls) for _ in range(3)]
        for each in plays:
            each.place()
            each.close()
        audit_at_rest(system.databases, wait=1.0)
    with closing(sqlite3.connect(tmp_path / "order.db")) as connection:
        connection.execute("UPDATE outbox SET published_at = occurred_at")
        connection.commit()
    with shop(tmp_path) as after:
        books = after.heal()
        assert left_over(books) == []
        assert [status for status, _ in standing(after.system).values()] == ["fulfilled"] * 3
        assert after.healed.by_meaning["request_lost"] >= 3


def test_two_at_once_heal_once(tmp_path: Path) -> None:
    """Both have compared the same orders; the second finds that they have moved, and leaves them alone."""
    with shop(tmp_path) as running:
        play = running.place()
        play.until("at its end", is_final)
        with running.system.databases["shipping"].transaction() as connection:
            connection.exec_driver_sql("DELETE FROM shipments")
        seen = running.reconciler.source

        class Meddling:
            """Answers, and lets another reconciliation take its round before the answer is read."""

            def __init__(self) -> None:
                self.known_to = seen.known_to
                self.other: Callable[[], Report] | None = running.reconciler.round

            def ask_of(self, order_ids):  # type: ignore[no-untyped-def]
                said = seen.ask_of(order_ids)
                if other := self.other:
                    self.other = None
                    self.first = other()
                return said

        source = Meddling()
        time.sleep(0)
        second = Reconciler(**{**vars(running.reconciler), "source": source})
        until = time.monotonic() + PATIENCE
        report = second.round()
        while not report.looked_at and time.monotonic() < until:
            report = second.round()
        assert len(source.first.healed) == 1
        assert report.healed == []
        assert left_over(running.heal()) == []
