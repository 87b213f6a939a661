"""One worker process of a service: takes turns, dies, and is started again."""

from typing import TYPE_CHECKING

from shared.messaging.durability.maintenance import Maintenance
from shared.messaging.worker import Worker
from tests.simulation.ports import Crash

if TYPE_CHECKING:
    from tests.simulation.world import World


class Process:
    """A worker, and another one after each death."""

    def __init__(self, world: "World", service: str, number: int) -> None:
        self.world, self.service, self.name = world, service, f"{service} worker {number + 1}"
        self.sleeps_until = 0.0
        self.worker: Worker | None = None
        self.deaths = 0

    def is_ready(self) -> bool:
        """Whether a turn would find something to do."""
        world, worker = self.world, self.worker
        if self.sleeps_until > world.seconds or self in world.acting:
            return False
        if worker is None or worker.connection is None:
            return True
        connection = worker.connection.connection
        to_mark = worker.confirmed and worker._mark_at <= world.seconds
        mine = worker.held or worker.suspected or to_mark or worker.woken.is_set()
        news = connection._confirmed or connection._refused or connection._lost
        if mine or news or world.has_messages(self.service):
            return True
        return min(chore.due_at for chore in worker.chores) <= world.seconds and world.has_chores(self.service)

    def go_on(self) -> None:
        """Take one turn; die if struck."""
        world = self.world
        world.acting.append(self)
        try:
            if self.worker is None:
                self.worker = self._start()
            if world.faults.restarts():
                world.note(self.name, "is told to stop, and starts again")
                self.worker.finish(patience=0.0)
                self.worker = self._start()
            if pause := self.worker.round(patience=0.0):
                world.note(self.name, f"waits {pause} s, its broker or database is away")
                self.sleep(pause)
        except Crash:
            self._die()
        finally:
            world.acting.remove(self)

    def sleep(self, seconds: float) -> None:
        self.sleeps_until = max(self.sleeps_until, self.world.seconds + seconds)

    def _die(self) -> None:
        self.deaths += 1
        if self.worker and self.worker.connection:
            self.worker.connection.close()
        self.worker = None
        self.sleep(self.world.chance.choice((0.0, 1.0, 10.0)))

    def _start(self) -> Worker:
        world, service = self.world, self.world.services[self.service]
        opened, clock = world.databases[self.service], world.clocks[self.service]
        consumer = world.mutant.consumer(
            world.handling(self.service),
            service.tables,
            opened,
            clock=clock,
            new_id=world.new_id,
            body_limit=world.settings[self.service].body_limit,
        )
        maintenance = Maintenance(service.tables, opened, clock)
        return world.mutant.worker(
            self.service, consumer, maintenance, world.port, world.pace, monotonic=lambda: world.seconds
        )
