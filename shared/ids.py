"""Random bits for ids, drawn from the system by the hundred: a system call for each lets other threads in between."""

import os

_DRAWN = 128
_pool: list[int] = []  # of 80 bits each, none given out yet
os.register_at_fork(after_in_child=_pool.clear)  # two processes never give out the same


def randbits(count: int) -> int:
    """Up to 80 random bits that nobody can foresee, as `secrets.randbits` gives them. For any thread."""
    while True:
        try:
            return _pool.pop() >> 80 - count
        except IndexError:
            drawn = os.urandom(10 * _DRAWN)
            _pool.extend([int.from_bytes(drawn[at : at + 10], "big") for at in range(0, len(drawn), 10)])
