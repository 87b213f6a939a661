"""Ids: time-ordered UUIDs."""

import secrets
from collections.abc import Callable
from datetime import datetime

NewId = Callable[[datetime], str]


def uuid7(at: datetime, entropy: Callable[[int], int] = secrets.randbits) -> str:
    """A UUIDv7 (RFC 9562) of the moment `at`; a seeded `entropy` (bits -> int) makes it reproducible."""
    milliseconds = int(at.timestamp() * 1000) & (1 << 48) - 1
    random = entropy(74)
    bits = milliseconds << 80 | 7 << 76 | random >> 62 << 64 | 2 << 62 | random & (1 << 62) - 1
    text = bits.to_bytes(16, "big").hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


FIRST = "00000000-0000-0000-0000-000000000000"  # before all ids


def made_at(time_ordered_id: str) -> int:
    """When this id was made, in milliseconds since 1970."""
    return int(time_ordered_id[:8] + time_ordered_id[9:13], 16)


def first_id(at: datetime) -> str:
    """The least id that something of this moment can have."""
    text = f"{max(0, int(at.timestamp() * 1000)):012x}"
    return f"{text[:8]}-{text[8:]}{FIRST[13:]}"
