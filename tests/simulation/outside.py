"""The card network and the carriers, as the weather lets them behave: the real simulated ones, with a seed."""

from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING

from payment_service import gateway as cards
from payment_service.store import WORLD as CARDS
from shared.messaging.handling import Answers, Call
from shared.outside.simulator import Conduct, Simulator
from shipping_service import gateway as carriers
from shipping_service.store import WORLD as CARRIERS
from tests.simulation.weather import Point

if TYPE_CHECKING:
    from tests.simulation.world import World


PARTIES = {"payment": (cards.PARTY,), "shipping": carriers.CARRIERS}


class Outside:
    """Who is asked outside, by the service that asks."""

    def __init__(self, world: "World") -> None:
        self.world = world
        latency = world.chance.choice((100, 900, 1_900)) if world.weather.latency else 0
        conduct = Conduct(latency_ms=latency, error_rate=world.weather.unanswered)
        policies = {"payment": (CARDS, cards.policy), "shipping": (CARRIERS, carriers.policy)}
        self.simulators = {
            service: Simulator(
                books,
                world.databases[service],
                world.clocks[service],
                policy,
                conduct,
                sleep=self._wait,
                chance=Random(world.chance.getrandbits(64)),
            )
            for service, (books, policy) in policies.items()
        }
        self.gateways = {
            "payment": cards.SimulatedCardNetwork(self.simulators["payment"]),
            "shipping": carriers.SimulatedCarriers(self.simulators["shipping"]),
        }

    def asked_by(self, service: str) -> Callable[[Sequence[Call]], Answers]:
        gateway, world = self.gateways[service], self.world

        def ask(calls: Sequence[Call]) -> Answers:
            world.strike(Point.CALLING)
            answers = gateway.ask(calls)
            for call in calls:
                said = answers.get(call.key)
                _, _, what = call.key.partition(":")
                heard = type(said).__name__.lower() if said else "no answer"
                world.note(world.acting[-1].name, f"asks for {what} of {world.people.name(call.order_id)}: {heard}")
            return answers

        return ask

    def fall_silent(self, service: str, seconds: float) -> None:
        """One of those whom a service asks cannot be reached for a while."""
        party = self.world.chance.choice(PARTIES[service])
        self.world.note(party, f"cannot be reached for {seconds:.0f} s")
        self._behave(service, party, outage=True)
        self.world.at(self.world.seconds + seconds, lambda: self._behave(service, party, outage=False))

    def calm_down(self) -> None:
        """From now on every call is answered."""
        for simulator in self.simulators.values():
            simulator.default = Conduct()

    def _behave(self, service: str, party: str, *, outage: bool) -> None:
        simulator = self.simulators[service]
        with self.world.databases[service].unstruck.transaction() as connection:
            simulator.world.set_conduct(connection, party, Conduct(outage=outage))

    def _wait(self, seconds: float) -> None:
        self.world.others_go_on(seconds)
