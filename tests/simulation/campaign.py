"""Many seeds: each is run to its rest, and a failure is told with its reason."""

import traceback

from tests.simulation.checks import Violation
from tests.simulation.mutants import MUTANTS, SOUND
from tests.simulation.world import World


def attempt(seed: int, mutant: str | None = None) -> tuple[World, str | None]:
    """One seed's world after its run, and what broke, if anything did."""
    chosen = next(each for each in [SOUND, *MUTANTS] if each.name == (mutant or SOUND.name))
    world = World(seed, chosen)
    try:
        world.run()
    except Violation as violation:
        return world, str(violation)
    except Exception:
        return world, traceback.format_exc()
    return world, None
