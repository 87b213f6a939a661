"""`python -m order_service reconcile`: the process that looks again and again, or once for cron."""

import logging
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import click

from order_service.participants import Asker, Saying
from order_service.reconciliation.reconciler import Reconciler, Report
from order_service.terms import flows, terms
from shared import logs
from shared.bootstrap import open_database
from shared.clock import DatabaseClock
from shared.config import Misconfigured, Settings
from shared.database import Database, Timeouts, TransientError
from shared.logs import about, first_line
from shared.messaging.notifier import Notifier
from shared.processes import stopped_by_signals
from shared.terminal import say

log = logging.getLogger("fulfillment.reconciliation")

MOMENTS = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"]
TURN = 1.0  # seconds between two touches of the heartbeat
MINUTE = 60  # of looking at what has ended, in one round


@dataclass(frozen=True, kw_only=True)
class AsOperator:
    """The participants' APIs, asked with an operator's token."""

    asker: Asker
    token: str

    def ask_of(self, order_ids: Collection[str]) -> Mapping[str, Sequence[Saying]]:
        return self.asker.ask_of(order_ids, self.token)

    def known_to(self, service: str, since: datetime) -> Iterator[Sequence[Mapping[str, Any]]]:
        return self.asker.known_to(service, self.token, since)


def reconcile_command(settings_of: Callable[[], Settings]) -> click.Command:
    """`reconcile` of the order service, whose settings these are."""

    @click.command(help="Compare orders with the participants, again and again, and heal what differs.")
    @click.option("--once", is_flag=True, help="One round; exits 1 when a participant does not answer.")
    @click.option("--since", type=click.DateTime(MOMENTS), help="Look also at all that has changed since then (UTC).")
    @click.option("--heartbeat", type=click.Path(path_type=Path), help="A file to touch each second while all is well.")
    def reconcile(once: bool, since: datetime | None, heartbeat: Path | None) -> None:
        settings = settings_of()
        logs.configure(settings)
        if not settings.participants_key:
            raise Misconfigured("order: PARTICIPANTS_KEY must be set: with it the other services are asked")
        rest = resting(stopped_by_signals(lambda: None), heartbeat)
        with open_database(settings, Timeouts.for_worker(settings.watchdog.total_seconds())) as database:
            database.check()
            begin = since.replace(tzinfo=UTC) if since else None
            if once:
                sys.exit(run_once(reconciler(settings, database, rest), begin))
            run(settings, database, rest, begin)

    return reconcile


def reconciler(settings: Settings, database: Database, rest: Callable[[float], bool], most: int = 10**9) -> Reconciler:
    """One that keeps to the configured rate; `rest` waits for so many seconds, and says whether to stop."""
    rate = settings.reconcile_rate
    return Reconciler(
        database=database,
        flows=flows(settings),
        terms=terms(settings),
        clock=DatabaseClock(),
        notifier=Notifier(database),
        source=AsOperator(asker=Asker.of(settings), token=settings.participants_key),
        grace=settings.reconcile_grace,
        most=most,
        rest=lambda count: rest(count / rate),
    )


def resting(stop: Event, heartbeat: Path | None) -> Callable[[float], bool]:
    """What waits for so many seconds, touches the heartbeat meanwhile, and says whether to stop."""

    def rest(seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not stop.is_set():
            if heartbeat:
                heartbeat.touch()
            if (left := until - time.monotonic()) <= 0:
                return False
            stop.wait(min(TURN, left))
        return True

    return rest


def run_once(one: Reconciler, since: datetime | None) -> int:
    """One round, told in words; the exit code is 1 when a participant did not answer."""
    try:
        report = one.round(since)
    finally:
        one.notifier.close()
    say(*words(report))
    return 1 if report.silent else 0


def run(settings: Settings, database: Database, rest: Callable[[float], bool], since: datetime | None) -> None:
    """Round after round until told to stop; what the database's absence interrupts is begun again."""
    every = settings.reconcile_every.total_seconds()
    one = reconciler(settings, database, rest, most=settings.reconcile_rate * MINUTE)
    log.info("the reconciliation starts, with a round every %g s", every)
    while True:
        try:
            tell(one.round(since))
            since = None
        except TransientError as error:
            log.warning("the reconciliation waits: %s", first_line(error))
        if rest(every):
            break
    one.notifier.close()
    log.info("the reconciliation has stopped")


def tell(report: Report) -> None:
    """What a round did, for the log: nothing when all agrees."""
    for each in report.healed:
        level = logging.WARNING if each in report.for_a_person else logging.INFO
        log.log(level, "%s: %s", each.difference.healing, each.difference.detail, extra=about(each.order_id))
    for order_id in report.found_again:
        log.warning("a lost order is found again by the work that was done for it", extra=about(order_id))
    for service in sorted(report.silent):
        log.warning("%s does not answer: what it holds is not compared", service)


def words(report: Report) -> list[str]:
    """What a round did, for people."""
    lines = [f"{report.looked_at:,} orders compared"]
    lines += [
        f"  {count:,} healed: {meaning.replace('_', ' ')}" for meaning, count in sorted(report.by_meaning.items())
    ]
    if report.found_again:
        lines.append(f"  {len(report.found_again):,} lost orders found again, such as {report.found_again[0]}")
    lines += [f"  a person must look at {each.order_id}: {each.difference.detail}" for each in report.for_a_person]
    lines += [f"{service} does not answer: what it holds was not compared" for service in sorted(report.silent)]
    return lines
