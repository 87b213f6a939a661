"""Participants whose facts contradict what they were asked: their rows are right, their words are not."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shared.contracts import PaymentAuthorized, PaymentCaptured, PaymentReversed, ShipmentDispatched
from shared.messaging.handling import Handling

if TYPE_CHECKING:
    from tests.simulation.world import World

LIES: Mapping[type[Any], Callable[[Any], dict[str, Any]]] = {  # what is said instead, by the fact
    PaymentAuthorized: lambda fact: {"authorized": fact.authorized - 1},
    PaymentCaptured: lambda fact: {"captured": 1},
    PaymentReversed: lambda fact: {"voided": fact.voided + 1},
    ShipmentDispatched: lambda fact: {"tracking_number": f"{fact.tracking_number}-2"},
}


class Liars:
    """Who lies now and then, and what was ever said so."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.told: set[tuple[str, str, Any]] = set()  # order id, name and value

    def handling(self, handling: Handling) -> Handling:
        """The same service, which may lie in what it publishes."""
        return replace(handling, handlers={kind: self._lying(each) for kind, each in handling.handlers.items()})

    def _lying(self, handler: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def handle(request: Any, work: Any) -> Any:
            said = handler(request, work)
            facts = said if isinstance(said, list | tuple) else [said] if said else []
            return [self._say(fact) for fact in facts]

        return handle

    def _say(self, fact: Any) -> Any:
        if type(fact) not in LIES or not self.world.faults.lies():
            return fact
        lie = LIES[type(fact)](fact)
        self.told |= {(fact.order_id, name, value) for name, value in lie.items()}
        words = ", ".join(f"{name} {value}" for name, value in lie.items())
        self.world.note("liar", f"would say of {self.world.people.name(fact.order_id)}: {words}")
        return type(fact)(**{name: getattr(fact, name) for name in fact.__struct_fields__} | lie)
