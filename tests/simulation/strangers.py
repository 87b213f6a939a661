"""Messages that nobody can work, from somebody who should not be there: kept as dead letters, and replayed in vain."""

from typing import TYPE_CHECKING

from shared.contracts import StockIssueRequested, StockReserved
from shared.messaging.broker import ConnectionLost
from shared.messaging.envelope import Envelope
from tests.simulation.ports import BEGINNING

if TYPE_CHECKING:
    from tests.simulation.world import World

POISON = {  # what is wrong with it, by the reason for which it must be buried
    "malformed": {"body": b'{"order_id": 7}'},
    "unsupported_version": {"version": 99},
    "content_type": {"content_type": "text/plain"},
    "unknown_order": {},
    "not_reserved": {},
}
SOUND = {"unknown_order": ("order", StockReserved), "not_reserved": ("inventory", StockIssueRequested)}


class Strangers:
    """Who sends poison, and the operator who replays it."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.sent: dict[tuple[str, str], str] = {}  # the reason for which it must be buried, by service and message id
        self.arrived: set[tuple[str, str]] = set()  # what the broker surely took
        self.known: set[tuple[str, str]] = set()  # all that came not by way of an outbox
        for _ in range(world.weather.poison):
            world.at(world.chance.uniform(0.0, 20.0), self._send)
            world.at(world.chance.choice((5.0, 600.0)), self._replay)

    def _send(self) -> None:
        world, chance = self.world, self.world.chance
        reason, order_id = chance.choice(list(POISON)), world.new_id(BEGINNING)
        service = chance.choice(list(world.services))
        message = chance.choice(sorted(world.services[service].handlers, key=lambda each: each.type))
        service, message = SOUND.get(reason, (service, message))
        envelope = {
            "id": world.new_id(BEGINNING),
            "type": message.type,
            "version": message.version,
            "producer": message.producer,
            "correlation_id": order_id,
            "causation_id": None,
            "occurred_at": BEGINNING,
            "body": b'{"order_id": "%s"}' % order_id.encode(),
        }
        poison = Envelope(**{**envelope, **POISON[reason]})
        world.note("stranger", f"sends {service} {message.type}: {reason}")
        ways = [(name, poison.id) for name, each in world.services.items() if message in each.handlers]
        self.sent.update(dict.fromkeys(ways, reason))
        self.known.update(ways)
        try:
            connection = world.broker.connect(message.producer)
            connection.publish([poison])
            if not connection.settled().refused:
                self.arrived.update(ways)
            connection.close()
        except ConnectionLost:
            world.note("stranger", "does not know whether it got there")

    def _replay(self) -> None:
        """An operator has every letter worked again; each gets a new id."""
        world = self.world
        for name, service in world.services.items():
            letters = service.tables.dead_letters
            with world.databases[name].unstruck.transaction() as connection:
                now = world.clocks[name].now(connection)
                for message_id in letters.replay(connection, None, now=now, new_id=world.new_id):
                    world.note("olga", f"replays a dead letter of {name}")
                    again = letters.get(connection, message_id)
                    assert again
                    self.known.add((name, again["replayed_as"]))
                    if reason := self.sent.get((name, message_id)):
                        self.sent[name, again["replayed_as"]] = reason
