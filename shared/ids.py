"""Ids: time-ordered UUIDs, and random bits for them, drawn from the system by the hundred."""

import os
from collections.abc import Callable
from datetime import datetime

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


NewId = Callable[[datetime], str]


def uuid7(at: datetime, entropy: Callable[[int], int] = randbits) -> str:
    """A UUIDv7 (RFC 9562) of the moment `at`; a seeded `entropy` (bits -> int) makes it reproducible."""
    milliseconds = int(at.timestamp() * 1000) & (1 << 48) - 1
    random = entropy(74)
    bits = milliseconds << 80 | 7 << 76 | random >> 62 << 64 | 2 << 62 | random & (1 << 62) - 1
    text = bits.to_bytes(16, "big").hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
