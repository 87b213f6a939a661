"""Random bits for ids."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from shared.ids import randbits

FORKED = """
import os
from shared.ids import randbits
randbits(80)  # from here on, some are drawn and not given out
if child := os.fork():
    os.waitpid(child, 0)  # what it says is not mixed with what is said here
print(*(randbits(80) for _ in range(500)))
"""


def test_random_bits_fill_their_number_and_no_more() -> None:
    """As many bits as were asked for, each of them 0 and 1 in turn."""
    drawn = [randbits(74) for _ in range(300)]
    assert max(drawn) < 1 << 74
    assert [any(each >> bit & 1 == value for each in drawn) for bit in range(74) for value in (0, 1)] == [True] * 148


def test_threads_draw_different_bits() -> None:
    """The same bits are never given out twice, however many threads ask."""
    with ThreadPoolExecutor(4) as threads:
        drawn = list(threads.map(lambda _: randbits(80), range(5_000)))
    assert len({*drawn}) == 5_000


def test_a_forked_process_draws_different_bits() -> None:
    """What was drawn before a fork is given out by one of the two processes only."""
    said = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=True, timeout=60)
    drawn = said.stdout.split()
    assert len(drawn) == len({*drawn}) == 1_000
