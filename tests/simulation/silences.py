"""Who does nothing for a while: all workers of a service, somebody outside, or the broker."""

from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.outside import PARTIES

if TYPE_CHECKING:
    from tests.simulation.world import World


class Silences:
    """The silences of one world, drawn when it begins."""

    def __init__(self, world: "World") -> None:
        self.world, chance, weather = world, world.chance, world.weather
        for _ in range(weather.silences):
            begin = chance.uniform(0.0, min(40.0, weather.until))
            seconds = chance.uniform(1.0, max(1.0, weather.longest_silence))
            service = chance.choice(list(world.services))
            if chance.random() < 0.2:
                world.at(begin, partial(self._stop_broker, seconds))
            elif service in PARTIES and not weather.prompt and chance.random() < 0.5:
                world.at(begin, partial(world.outside.fall_silent, service, seconds))
            else:
                world.at(begin, partial(self._stop_service, service, seconds))
        world.at(weather.until, world.outside.calm_down)

    def _stop_service(self, service: str, seconds: float) -> None:
        self.world.note(service, f"takes nothing for {seconds:.0f} s")
        for process in self.world.processes:
            if process.service == service and process not in self.world.acting:
                process.sleep(seconds)

    def _stop_broker(self, seconds: float) -> None:
        self.world.note("broker", f"is away for {seconds:.0f} s")
        self.world.broker_away_until = self.world.seconds + seconds
        for service in self.world.services:
            self.world.broker.cut(service)
