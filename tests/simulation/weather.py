"""What goes wrong in one run: drawn from its seed, and over after a while, so that the world can come to rest."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING

from shared.messaging.envelope import Envelope

if TYPE_CHECKING:
    from tests.simulation.world import World


class Point(StrEnum):
    """Where a process may die, be stopped for a while, or find its database away."""

    BEFORE_TRANSACTION = "before a transaction"
    BEFORE_COMMIT = "before the commit"
    AFTER_COMMIT = "after the commit"
    BEFORE_PUBLISH = "before it publishes"
    AFTER_PUBLISH = "after it published"
    BEFORE_ACK = "before it acknowledges"
    AFTER_ACK = "after it acknowledged"
    CALLING = "while it calls outside"


class Strike(StrEnum):
    CRASH = "dies"
    PAUSE = "is stopped"
    AWAY = "finds its database away"


BEYOND_PAUSE = {Point.BEFORE_COMMIT}  # its transaction is open, and there is one thread for all
BEYOND_WEATHER = {*Point} - {Point.BEFORE_TRANSACTION, Point.BEFORE_COMMIT, Point.AFTER_COMMIT}


@dataclass(frozen=True, kw_only=True)
class Weather:
    """How often what happens; the shares are of messages, of points passed, or of calls.

    In every weather but a `lossy` one each message that the broker has taken arrives, within `slowest` seconds.
    """

    name: str
    until: float = 0.0  # seconds; calm afterwards
    duplicated: float = 0.0
    delayed: float = 0.0
    slowest: float = 0.0
    reordered: float = 0.0
    refused: float = 0.0
    lost: float = 0.0
    cut: float = 0.0
    crash: float = 0.0
    pause: float = 0.0
    away: float = 0.0
    unanswered: float = 0.0  # calls of the card network and the carriers
    latency: bool = False
    silences: int = 0  # how often a whole service, or the outside, does nothing for a while
    longest_silence: float = 0.0
    restart: float = 0.0  # turns before which a worker is told to stop
    poison: int = 0  # messages that nobody can work
    untrue: float = 0.0  # facts of participants that contradict what they were asked

    def words(self) -> str:
        """What can go wrong, and how often."""
        told = {item.name: getattr(self, item.name) for item in fields(self)}
        return ", ".join([self.name, *(f"{name} {value}" for name, value in told.items() if value and name != "name")])

    @property
    def lossy(self) -> bool:
        return self.lost > 0

    @property
    def prompt(self) -> bool:
        """Everyone answers within the attempts."""
        answered = not self.lost and not self.unanswered and not self.untrue
        return answered and self.slowest <= 20.0 and self.longest_silence <= 20.0


def draw(chance: Random) -> Weather:
    """The weather of one run: calm, rough (nothing is lost, everyone answers in time), or a storm."""
    kind = chance.choices(("calm", "rough", "foul", "storm"), (1, 6, 4, 5))[0]
    if kind == "calm":
        return Weather(name="calm")

    def some(most: float) -> float:
        return chance.choice((0.0, most / 4, most))

    rough = Weather(
        name="rough",
        until=chance.choice((20.0, 120.0)),
        duplicated=some(0.3),
        delayed=some(0.4),
        slowest=chance.choice((1.0, 12.0)),
        reordered=some(1.0),
        refused=some(0.1),
        cut=some(0.03),
        crash=some(0.03),
        pause=some(0.05),
        away=some(0.03),
        latency=chance.random() < 0.5,
        silences=chance.randrange(2),
        longest_silence=15.0,
        restart=some(0.03),
        poison=chance.choice((0, 0, 2)),
    )
    if kind == "rough":
        return rough
    foul = replace(
        rough,
        name="foul",
        until=chance.choice((60.0, 400.0)),
        slowest=chance.choice((12.0, 90.0, 400.0)),
        unanswered=some(0.6),
        silences=chance.randrange(4),
        longest_silence=chance.choice((60.0, 300.0)),
        untrue=some(0.3),
    )
    if kind == "foul":
        return foul
    return replace(foul, name="storm", lost=chance.choice((0.05, 0.3, 0.6)))


class Faults:
    """The weather as the embedded broker asks for it; remembers what it lost."""

    def __init__(self, world: "World", weather: Weather, chance: Random) -> None:
        self.world, self.weather, self.chance = world, weather, chance
        self.lost: set[str] = set()

    @property
    def over(self) -> bool:
        return self.world.seconds >= self.weather.until

    def arrivals(self, envelope: Envelope, queue: str) -> Sequence[float] | None:
        weather, chance = self.weather, self.chance
        if self.over:
            return (0.0,)
        if chance.random() < weather.refused:
            self.world.remark(envelope, "is refused by the broker")
            return None
        if chance.random() < weather.lost:
            self.lost.add(envelope.id)
            self.world.remark(envelope, "is lost")
            return ()
        copies = [self._delay()]
        while len(copies) < 4 and chance.random() < weather.duplicated:
            copies.append(self._delay())
        if copies != [0.0]:
            self.world.remark(envelope, "arrives " + " and ".join(f"{each:.1f} s" for each in copies) + " later")
        return copies

    def next(self, queue: str, waiting: int) -> int:
        if waiting > 1 and not self.over and self.chance.random() < self.weather.reordered:
            return self.chance.randrange(waiting)
        return 0

    def lies(self) -> bool:
        return not self.over and bool(self.weather.untrue) and self.chance.random() < self.weather.untrue

    def cuts(self, service: str) -> bool:
        return not self.over and bool(self.weather.cut) and self.chance.random() < self.weather.cut

    def restarts(self) -> bool:
        return not self.over and bool(self.weather.restart) and self.chance.random() < self.weather.restart

    def strike(self, point: Point) -> Strike | None:
        """What befalls a process here."""
        if self.over:
            return None
        dice, weather = self.chance.random(), self.weather
        if dice < weather.crash:
            return Strike.CRASH
        if dice < weather.crash + weather.pause:
            return None if point in BEYOND_PAUSE else Strike.PAUSE
        if dice < weather.crash + weather.pause + weather.away:
            return None if point in BEYOND_WEATHER else Strike.AWAY
        return None

    def _delay(self) -> float:
        if self.chance.random() >= self.weather.delayed:
            return 0.0
        short = self.chance.random() < 0.8
        most = min(2.0, self.weather.slowest) if short else self.weather.slowest
        return round(self.chance.uniform(0.0, most), 1)
