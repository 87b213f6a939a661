"""The proof's own parts: its script, what its ledger objects to, how recovery is measured, and what it writes."""

import re
import threading
from collections.abc import Callable
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest

from order_service.cli.system.prove.fates import APPROVE, CANCEL, FATES, REFUSE
from order_service.cli.system.prove.kept import kept, lines
from order_service.cli.system.prove.ledger import Answered, Ledger, Wish
from order_service.cli.system.prove.page import page
from order_service.cli.system.prove.score import Score, recoveries, score
from order_service.cli.system.prove.script import Fault, kinds, script
from order_service.cli.system.prove.trouble import Suffered, Trouble
from order_service.cli.system.prove.verdict import Verdict
from order_service.web.console.breaking import Part, Refusal
from tests.crowd import wait_for

ROOT = Path(__file__).parents[2]
PROCESS, LINE = ("running", "kill -9", "frozen", "stopped"), ("well", "cut", "reset", "silent")
PARTS = [
    *(Part(name=f"{service}-worker-{n}", state="running", choices=PROCESS, kind="worker")
      for service in ("order", "payment") for n in (1, 2)),
    Part(name="rabbitmq", state="running", choices=PROCESS, kind="rabbitmq"),
    Part(name="broker", state="well", choices=("well", "queues emptied"), kind="broker"),
    *(Part(name=f"order-worker-{n} to broker", state="well", choices=LINE, kind="worker to broker") for n in (1, 2)),
]  # fmt: skip


def test_the_same_seed_is_the_same_script() -> None:
    """And another seed another one."""
    assert script(7, PARTS, 50, 300) == script(7, PARTS, 50, 300) != script(8, PARTS, 50, 300)


@pytest.mark.parametrize("seed", range(20))
def test_every_kind_comes_before_any_comes_again(seed: int) -> None:
    """However busy a party is; and nobody has to suffer two things at once."""
    known = kinds(PARTS)
    faults = script(seed, PARTS, 3 * len(known), 200)
    assert [each.number for each in faults] == list(range(1, 3 * len(known) + 1))
    counts = {kind: sum(each.kind == kind for each in faults) for kind in known}
    assert set(counts.values()) == {3}
    by_party: dict[str, list[Fault]] = {}
    for each in faults:
        by_party.setdefault(each.party, []).append(each)
    assert {"order", "payment", "rabbitmq"} <= by_party.keys()
    for of_party in by_party.values():
        assert all(one.at + one.seconds < other.at for one, other in pairwise(of_party))


def test_some_kinds_only() -> None:
    """`only` leaves those with such words in their names, and must leave some."""
    assert {each.kind for each in script(1, PARTS, 9, 90, ["frozen", "emptied"])} == {
        *("worker: frozen", "rabbitmq: frozen", "broker: queues emptied")
    }
    with pytest.raises(ValueError, match="no kind of fault has flooded"):
        script(1, PARTS, 9, 90, ["flooded"])


PLAIN = {"id": "1", "status": "pending", "version": 1, "total": 450, "reason": None, "needs_attention": False}


def ledger_of(fate: str, *seen: dict[str, Any], accepted: str = "") -> Ledger:
    """What is objected to when an order of this fate is shown like this, one after the other."""
    ledger = Ledger()
    wish = Wish(0, next(each for each in FATES if each.name == fate), "key")
    ledger.wishes[0] = wish
    ledger.placed(wish, PLAIN)
    if accepted:
        ledger.accepted(wish, accepted)
    for number, each in enumerate(seen, 1):
        ledger.told(wish, {**PLAIN, "version": number, **each})
    return ledger


FULFILLED, CANCELLED = {"status": "fulfilled"}, {"status": "cancelled", "reason": "timed_out"}
WRONG = [
    ("a version went back", ledger_of("plain", {"version": 5}, {"version": 4})),
    ("a status went back", ledger_of("plain", {"status": "confirmed"}, {"status": "pending"})),
    ("a status went back", ledger_of("plain", {"status": "paid"}, {"status": "cancelling"})),
    ("a status went back", ledger_of("plain", CANCELLED, {"status": "fulfilled", "reason": "timed_out"})),
    ("an order changed", ledger_of("plain", {}, {"total": 449})),
    ("a reason changed", ledger_of("plain", CANCELLED, {**CANCELLED, "reason": None})),
    ("a promise was not kept", ledger_of("cancelled at once", FULFILLED, accepted=CANCEL)),
    ("a promise was not kept", ledger_of("refused", FULFILLED, accepted=REFUSE)),
    ("an end that cannot be", ledger_of("card declined", FULFILLED)),
    ("an end that cannot be", ledger_of("plain", {"status": "cancelled", "reason": "customer_request"})),
]


@pytest.mark.parametrize(("kind", "ledger"), WRONG, ids=[f"{kind} {number}" for number, (kind, _) in enumerate(WRONG)])
def test_what_is_taken_back_is_a_violation(kind: str, ledger: Ledger) -> None:
    """Each contradiction between answers is found, and named."""
    assert kind in {each.partition(":")[0] for each in ledger.violations}


def test_another_order_for_a_key_is_a_violation() -> None:
    """The second answer to one key is the first one."""
    ledger = ledger_of("plain")
    ledger.placed(ledger.wishes[0], PLAIN)
    assert not ledger.violations
    ledger.placed(ledger.wishes[0], {**PLAIN, "id": "2"})
    assert [each.partition(":")[0] for each in ledger.violations] == ["two orders for one key"]


@pytest.mark.parametrize(
    ("fate", "seen", "accepted"),
    [
        ("plain", [{}, {"status": "confirmed"}, {"status": "paid"}, FULFILLED], ""),
        ("plain", [{}, {"status": "cancelling", "reason": "timed_out"}, CANCELLED], ""),
        ("approved", [{"status": "awaiting_approval"}, FULFILLED], APPROVE),
        ("cancelled at once", [{"status": "cancelled", "reason": "customer_request"}], CANCEL),
        ("card declined", [{"status": "cancelled", "reason": "payment_declined"}], ""),
    ],
)
def test_what_happens_is_none(fate: str, seen: list[dict[str, Any]], accepted: str) -> None:
    """An order that goes on, or turns back, contradicts nothing."""
    assert not ledger_of(fate, *seen, accepted=accepted).violations


def a_fault(number: int, kind: str, began: float, healed: float) -> Suffered:
    fault = Fault(number=number, at=began, part="it", choice="broken", kind=kind, seconds=healed - began)
    return Suffered(fault=fault, began=began, healed=healed)


def a_score(*violations: str) -> Score:
    ledger = Ledger()
    for number, (placed, ended) in enumerate([(1.0, 2.0), (9.0, 12.5), (10.0, 16.0), (30.0, 31.0), (31.0, 33.0)]):
        wish = ledger.wishes[number] = Wish(number, FATES[0], f"key-{number}", order_id=f"{number}")
        wish.placed_at, wish.ended_at, wish.seen = placed, ended, {**PLAIN, "status": "fulfilled"}
    ledger.answers += [Answered(9.5, 1, "place", 0, "no answer in time"), Answered(9.6, 1, "place", 503, "overloaded")]
    faults = [a_fault(1, "worker: frozen", 9.0, 12.0), a_fault(2, "a", 24.0, 25.0), a_fault(3, "b", 30.0, 32.0)]
    verdict = Verdict(violations=list(violations), messages=65, duplicates=2, retries=3, compensations=0, made_good=1)
    return score(seed=7, begun="2026-11-28", command="fulfillment prove --seed 7", versions={"postgresql": "15"},
                 ledger=ledger, suffered=faults, verdict=verdict)  # fmt: skip


def test_recovery_is_measured_where_a_fault_was_alone() -> None:
    """From its end until the next order ended, and until all had that were under way; not while others were broken."""
    found = {each.kind: each for each in recoveries(a_score().faults)}
    assert (found["worker: frozen"].moved, found["worker: frozen"].caught_up) == ((0.5, 0.5), (4.0, 4.0))
    assert (found["a"].moved, found["b"].moved, found["b"].caught_up) == (None, (1.0, 1.0), (1.0, 1.0))


def test_the_report_needs_nothing_else() -> None:
    """It is one file that fetches nothing, and shows each violation as text."""
    written = page(a_score("R4: <b>money</b> without goods"))
    assert "R4: &lt;b&gt;money&lt;/b&gt; without goods" in written
    assert re.findall(r"(?:src|href)=|url\(|https?://|<script", written) == []
    assert "prefers-color-scheme:dark" in written
    assert written.count('<rect class="fault"') == 3


def test_the_page_is_what_was_kept() -> None:
    """docs/proof.md is what is written from the figures in docs/proof, none of which has a violation."""
    scores = kept(ROOT / "docs/proof")
    assert scores
    assert (ROOT / "docs/proof.md").read_text() == "\n".join(lines(scores))
    assert [each.violations for each in scores] == [[]] * len(scores)


class Toy:
    """Something that notes how it is set, and refuses to be `stuck`."""

    def __init__(self, *names: str) -> None:
        self.states = dict.fromkeys(names, "well")
        self.notes: list[tuple[str, str]] = []
        self.lock = threading.Lock()

    def parts(self) -> list[Part]:
        choices = ("well", "broken", "stuck")
        return [Part(name=name, state=state, choices=choices, kind="toy") for name, state in self.states.items()]

    def set(self, part: str, choice: str) -> None:
        if choice == "stuck":
            raise Refusal("it cannot be stuck")
        with self.lock:
            self.states[part] = choice
            self.notes.append((part, choice))

    def failures(self) -> list[str]:
        return []


def planned(number: int, part: str, choice: str = "broken", seconds: float = 0.01, *, alone: bool = False) -> Fault:
    kind = f"toy: {choice}"
    return Fault(number=number, at=0.0, part=part, choice=choice, kind=kind, seconds=seconds, alone=alone)


def run_trouble(toy: Toy, *script: Fault, is_over: Callable[[Trouble], bool]) -> Trouble:
    clock = count()  # a second goes by with each look
    trouble = Trouble(script, [toy], lambda: float(next(clock)), lambda _: None)
    trouble.start()
    wait_for(lambda: is_over(trouble))
    trouble.end()
    return trouble


def test_what_breaks_is_healed() -> None:
    """Each fault happens and ends; of those that are to be alone none begins before all others are healed."""
    toy = Toy("lamp", "vase", "sofa")
    faults = [planned(1, "lamp"), planned(2, "vase", alone=True), planned(3, "sofa", alone=True)]
    trouble = run_trouble(toy, *faults, is_over=lambda trouble: len(trouble.suffered) == 3)
    assert toy.notes == [(part, state) for part in toy.states for state in ("broken", "well")]
    assert [each.undone for each in trouble.suffered] == [""] * 3
    assert trouble.current == {}


def test_the_end_heals_what_is_broken() -> None:
    """However long it was to last; and nothing new begins."""
    toy = Toy("lamp", "vase")
    faults = [planned(1, "lamp", seconds=1e6), planned(2, "vase", alone=True)]
    trouble = run_trouble(toy, *faults, is_over=lambda _: toy.states["lamp"] == "broken")
    assert toy.notes == [("lamp", "broken"), ("lamp", "well")]
    assert [each.fault.part for each in trouble.suffered] == ["lamp"]


def test_what_cannot_be_done_is_told() -> None:
    """A fault that never happened does not count as one."""
    toy = Toy("lamp")
    trouble = run_trouble(toy, planned(1, "lamp", "stuck"), is_over=lambda trouble: bool(trouble.suffered))
    assert [each.undone for each in trouble.suffered] == ["it cannot be stuck"]
