"""The script of a proof: which part breaks how, when and for how long. The same for the same seed."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from order_service.cli.system.breakable import IN_TURN, MOMENTARY
from order_service.cli.system.prove.parts import KIND as PROCESSES
from order_service.web.console.breaking import Part

ALONE = 0.5  # the share of the faults that come one after another, before they overlap
SHORTEST, LONGEST = 1.0, 8.0  # seconds
BROKER, DATABASE = "rabbitmq", "postgresql"
TROUBLED = {  # of these kinds, whom the fault keeps busy: one at a time
    "rabbitmq": BROKER,
    "broker": BROKER,
    "postgresql": DATABASE,
    "database": DATABASE,
    "disk of the databases": DATABASE,
    "messages": DATABASE,
}
MENDING = {BROKER: 15.0, DATABASE: 4.0}  # seconds until these are ready for the next one
DEPLOY = 12.0  # seconds that it takes to replace the processes of a service


@dataclass(frozen=True, kw_only=True)
class Fault:
    """`at` seconds after the first order, the part is so, for `seconds`; 0 for what is done and over. One that is to be
    `alone` waits until all before it is healed."""

    number: int
    at: float
    part: str
    choice: str
    kind: str
    seconds: float
    alone: bool = False

    @property
    def party(self) -> str:
        """Who is kept busy by it: nothing else is done to the same one meanwhile."""
        return party_of(self.part, self.kind.rpartition(": ")[0])


def kinds(parts: Sequence[Part]) -> Mapping[str, list[tuple[Part, str]]]:
    """All faults there are, by kind, such as `worker: frozen`."""
    found: dict[str, list[tuple[Part, str]]] = {}
    for part in parts:
        for choice in part.choices[1:]:
            found.setdefault(f"{part.kind}: {choice}", []).append((part, choice))
    return found


def party_of(part: str, kind: str) -> str:
    if kind in ("worker", "web process"):
        return part.partition("-")[0]
    if kind == PROCESSES:
        return part.rpartition(" ")[2]
    return TROUBLED.get(kind, part)


def script(
    seed: int, parts: Sequence[Part], count: int, span: float, only: Sequence[str] = (), alone: float = ALONE
) -> list[Fault]:
    """So many faults within `span` seconds, of every kind in turn; the first ones, a share of `alone`, one by one.

    `only` leaves the kinds that contain one of these words. Raises ValueError when there are none.
    """
    chance = random.Random(seed)  # noqa: S311 - so that the same can be had again
    known = {kind: all_of for kind, all_of in kinds(parts).items() if not only or any(each in kind for each in only)}
    if not known:
        raise ValueError(f"no kind of fault has {' or '.join(only)} in its name")
    step, free, faults = span / max(1, count), dict[str, float](), list[Fault]()
    waiting: list[str] = []  # kinds that have not come since all others did
    for number in range(count):
        waiting = waiting or chance.sample(sorted(known), len(known))
        at = (number + chance.uniform(0.0, 0.3)) * step
        kind, part, choice = _first_free(chance, known, waiting, free, at)
        waiting.remove(kind)
        party = party_of(part.name, part.kind)
        at = max(at, free.get(party, 0.0))
        by_itself = number < count * alone
        longest = 0.3 if by_itself else 2.5
        seconds = 0.0 if choice in MOMENTARY else min(LONGEST, max(SHORTEST, step * chance.uniform(0.4, 1.0) * longest))
        free[party] = at + seconds + (DEPLOY if choice == IN_TURN else MENDING.get(party, 1.0))
        length = round(seconds, 2)
        faults.append(
            Fault(number=0, at=round(at, 2), part=part.name, choice=choice, kind=kind, seconds=length, alone=by_itself)
        )
    faults.sort(key=lambda each: each.at)
    return [replace(fault, number=number) for number, fault in enumerate(faults, 1)]


def _first_free(
    chance: random.Random,
    known: Mapping[str, Sequence[tuple[Part, str]]],
    waiting: Sequence[str],
    free: Mapping[str, float],
    at: float,
) -> tuple[str, Part, str]:
    """The first kind whose party has nothing else to suffer at that time, or the one that is free soonest."""
    drawn = [(kind, *chance.choice(known[kind])) for kind in waiting]
    return min(drawn, key=lambda each: max(at, free.get(party_of(each[1].name, each[1].kind), 0.0)))
