"""A proof from its first order to its verdict."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from order_service.cli.system.breakable import parts_of
from order_service.cli.system.prove.customers import Customers
from order_service.cli.system.prove.ground import IMPATIENT, SETTINGS, TOKENS, Ground, ground
from order_service.cli.system.prove.ledger import Ledger
from order_service.cli.system.prove.score import Score, score
from order_service.cli.system.prove.script import ALONE, script
from order_service.cli.system.prove.trouble import Trouble
from order_service.cli.system.prove.verdict import histories, judge
from shared.clock import today

PLACING = 0.95  # the share of the time in which orders are placed and faults begin
LATE = 60.0  # seconds for the rest of a script that could not be kept to
SETTLING = 120.0  # seconds until every order has ended, after the last fault
SLOWEST = 20  # orders whose histories are kept
TOLD_EVERY = 5.0  # seconds
Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What is to be proved. `only` leaves the kinds of faults that contain one of these words."""

    seed: int
    orders: int
    faults: int
    seconds: float
    only: Sequence[str] = ()
    alone: float = ALONE  # the share of the faults that come one after another
    impatient: bool = False  # most steps give up after three seconds of silence
    workers: int = 2
    webs: int = 2

    @property
    def command(self) -> str:
        minutes = f"{self.seconds / 60:g}"
        words = (
            f"fulfillment prove --seed {self.seed} --orders {self.orders} --faults {self.faults} --minutes {minutes}"
        )
        words += " --impatient" if self.impatient else ""
        return words + "".join(f" --only {each!r}" for each in self.only)


def run(proof: Proof, folder: Path, tell: Tell) -> Score:
    """Start all, break all, and judge; `folder` gets every answer and what the processes said. Raises Missing, NotReady
    and ValueError."""
    folder.mkdir(parents=True, exist_ok=True)
    tell("starts RabbitMQ, PostgreSQL and all services")
    settings = SETTINGS | (IMPATIENT if proof.impatient else {})
    size = {"orders": proof.orders, "workers": proof.workers, "webs": proof.webs}
    with ground(folder / "processes.log", **size, settings=settings) as system:
        return _prove(proof, system, folder, tell)


def _prove(proof: Proof, system: Ground, folder: Path, tell: Tell) -> Score:
    span = proof.seconds * PLACING
    planned = script(proof.seed, parts_of(system.breakables), proof.faults, span, proof.only, proof.alone)
    (folder / "script.json").write_bytes(msgspec.json.format(msgspec.json.encode(planned)))
    if not system.has_disk:
        tell("no disk can be made full here: that takes root, or sudo without a password")
    ledger = Ledger()
    customers = Customers(ledger, system.urls, TOKENS, proof.seed, proof.orders, span)
    trouble = Trouble(planned, system.breakables, lambda: ledger.now, tell)
    customers.start()
    trouble.start()
    try:
        _watch(ledger, trouble, tell, lambda: ledger.now > proof.seconds + LATE or _is_over(customers, trouble))
        trouble.end()
        customers.stop_placing()
        until = ledger.now + SETTLING
        _watch(ledger, trouble, tell, lambda: ledger.now > until or not customers.unended)
    finally:
        trouble.end()
        customers.close()
    tell("everything has ended" if not customers.unended else f"{len(customers.unended)} orders have not ended")
    slow = sorted(ledger.wishes.values(), key=lambda each: each.placed_at - (each.ended_at or ledger.now))[:SLOWEST]
    told = histories(system.databases["order"], [each.order_id for each in slow if each.order_id])
    (folder / "slowest.json").write_bytes(msgspec.json.format(msgspec.json.encode(told)))
    (folder / "answers.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, ledger.answers)))
    return score(
        seed=proof.seed,
        begun=f"{today()}",
        command=proof.command,
        versions=system.versions,
        ledger=ledger,
        suffered=trouble.suffered,
        verdict=judge(system.databases, ledger),
    )


def _is_over(customers: Customers, trouble: Trouble) -> bool:
    return trouble.is_over and not customers.unended


def _watch(ledger: Ledger, trouble: Trouble, tell: Tell, is_over: Callable[[], bool]) -> None:
    """Tell now and then how it stands."""
    due = ledger.now
    while not is_over():
        if ledger.now >= due:
            due += TOLD_EVERY
            tell(standing(ledger, trouble))
        time.sleep(0.25)


def standing(ledger: Ledger, trouble: Trouble) -> str:
    """Orders placed, ended and standing still; faults healed, and what is broken now."""
    found, total = ledger.figures(), len(ledger.wishes)
    minutes, seconds = divmod(int(ledger.now), 60)
    broken = ", ".join(f"{each.part} {each.choice}" for each in list(trouble.current.values()))
    return (
        f"{minutes}:{seconds:02}  {found['placed']:,} of {total:,} orders placed, {found['ended']:,} ended, "
        f"{found['still']:,} standing still; {len(trouble.suffered)} faults healed"
        f"{f'; now {broken}' if broken else ''}"
    )
