"""`python -m tests.simulation --seed N` runs one seed and prints its schedule in words; with --seeds K, K seeds."""

import argparse
import logging
import sys
import time
from collections import Counter

from tests.simulation.campaign import attempt


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    arguments.add_argument("--seed", type=int, default=1, help="the (first) seed")
    arguments.add_argument("--seeds", type=int, default=1, help="how many seeds, from the first one on")
    arguments.add_argument("--mutant", help="with one of the defects of mutants.py, by name")
    arguments.add_argument("--digests", action="store_true", help="print a line per seed that sums up its schedule")
    asked = arguments.parse_args()
    logging.disable(logging.CRITICAL)
    began, tally = time.process_time(), Counter[str]()
    for seed in range(asked.seed, asked.seed + asked.seeds):
        world, failure = attempt(seed, asked.mutant)
        if asked.seeds == 1 or failure:
            print("\n".join(world.schedule.lines()))
        if failure:
            print(f"\nseed {seed}: {failure}\nagain: make simulate SEED={seed}")
            return 1
        if asked.digests:
            print(f"digest {seed} {world.schedule.digest()}")
        tally.update(world.ends())
    print(f"{asked.seeds} seeds in {time.process_time() - began:.1f} s of processor time: {dict(tally)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
