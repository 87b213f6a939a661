"""The figures of a proof, as they are kept: from the answers, the faults and the verdict to one JSON document."""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from order_service.cli.system.prove.fates import FULFILLED
from order_service.cli.system.prove.ledger import Answered, Ledger, Wish
from order_service.cli.system.prove.trouble import Suffered
from order_service.cli.system.prove.verdict import Verdict

APART = 0.9  # seconds between two faults from which on the second one is no consequence of the first
PATIENT = ("answers lost", "reversed in doubt")  # these orders wait for a timeout by nature
NO_ANSWER = "no status"


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """A fault. All times in seconds: `began` and `healed` since the first order; `moved` from the healing until the
    next order ended, `caught_up` until all had ended that were under way then. None: something else was broken
    meanwhile, or there was no order to see it by."""

    number: int
    kind: str
    part: str
    began: float
    healed: float
    moved: float | None
    caught_up: float | None
    undone: str = ""


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """A whole proof."""

    seed: int
    begun: str  # the day, UTC
    command: str
    seconds: float
    versions: dict[str, str]
    fates: dict[str, dict[str, int]]  # by fate: how many ended how
    faults: list[Happened]
    bad_answers: dict[str, int]  # by kind: what customers got instead of an answer
    answers: int
    messages: int
    duplicates: int
    retries: int
    compensations: int
    made_good: int
    longest: float  # seconds that an order took
    placed_by_second: list[int]
    ended_by_second: list[int]
    bad_by_second: list[int]
    violations: list[str]

    @property
    def orders(self) -> int:
        return sum(sum(ends.values()) for ends in self.fates.values())

    @property
    def done(self) -> list[Happened]:
        """The faults that could be done."""
        return [each for each in self.faults if not each.undone]


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """Of the faults of one kind that were alone: seconds until orders moved, and until all had caught up."""

    kind: str
    faults: int
    moved: tuple[float, float] | None  # median and worst
    caught_up: tuple[float, float] | None


def score(
    *,
    seed: int,
    begun: str,
    command: str,
    versions: Mapping[str, str],
    ledger: Ledger,
    suffered: Sequence[Suffered],
    verdict: Verdict,
) -> Score:
    wishes = [each for each in ledger.wishes.values() if each.order_id]
    bad = [each for each in ledger.answers if each.status == 0 or each.status >= 500]
    fates: dict[str, dict[str, int]] = {}
    for wish in wishes:
        ends = fates.setdefault(wish.fate.name, {})
        ends[how(wish)] = ends.get(how(wish), 0) + 1
    return Score(
        seed=seed,
        begun=begun,
        command=command,
        seconds=round(ledger.now, 1),
        versions=dict(versions),
        fates=fates,
        faults=happened(suffered, wishes),
        bad_answers=dict(Counter(_bad(each) for each in bad).most_common()),
        answers=len(ledger.answers),
        messages=verdict.messages,
        duplicates=verdict.duplicates,
        retries=verdict.retries,
        compensations=verdict.compensations,
        made_good=verdict.made_good,
        longest=round(max((each.ended_at - each.placed_at for each in wishes if each.has_ended), default=0.0), 1),
        placed_by_second=by_second(each.placed_at for each in wishes),
        ended_by_second=by_second(each.ended_at for each in wishes if each.has_ended),
        bad_by_second=by_second(each.at for each in bad),
        violations=verdict.violations,
    )


def how(wish: Wish) -> str:
    """How it ended, in a word or two."""
    if not wish.has_ended:
        return "not ended"
    return FULFILLED if wish.status == FULFILLED else str(wish.seen["reason"])


def happened(suffered: Sequence[Suffered], wishes: Sequence[Wish]) -> list[Happened]:
    """Each fault, and how long the orders took to recover from it."""
    quick = [each for each in wishes if each.has_ended and each.fate.name not in PATIENT]
    ends = sorted(each.ended_at for each in quick)
    found = []
    for one in sorted(suffered, key=lambda each: each.fault.number):
        others = [each for each in suffered if each is not one]
        moved = next((each for each in ends if each >= one.healed), None)
        caught_up = max((each.ended_at for each in quick if each.placed_at <= one.healed < each.ended_at), default=None)
        found.append(
            Happened(
                number=one.fault.number,
                kind=one.fault.kind,
                part=one.fault.part,
                began=round(one.began, 2),
                healed=round(one.healed, 2),
                moved=_alone(one, others, moved),
                caught_up=_alone(one, others, caught_up),
                undone=one.undone,
            )
        )
    return found


def _alone(one: Suffered, others: Sequence[Suffered], until: float | None) -> float | None:
    """The seconds from its healing `until` then, unless something else was broken meanwhile."""
    if until is None or any(each.began < until and one.began < each.healed + APART for each in others):
        return None
    return round(until - one.healed, 2)


def recoveries(faults: Sequence[Happened]) -> list[Recovery]:
    """By kind, in the order of the alphabet."""
    by_kind: dict[str, list[Happened]] = {}
    for each in faults:
        by_kind.setdefault(each.kind, []).append(each)
    return [
        Recovery(
            kind=kind,
            faults=len(of_kind),
            moved=_spread(each.moved for each in of_kind),
            caught_up=_spread(each.caught_up for each in of_kind),
        )
        for kind, of_kind in sorted(by_kind.items())
    ]


def by_second(moments: Iterable[float]) -> list[int]:
    counts = Counter(int(each) for each in moments)
    return [counts[second] for second in range(max(counts, default=-1) + 1)]


def _spread(times: Iterable[float | None]) -> tuple[float, float] | None:
    known = [each for each in times if each is not None]
    return (round(statistics.median(known), 2), max(known)) if known else None


def _bad(answer: Answered) -> str:
    return f"{answer.status or NO_ANSWER}: {answer.kind}"
