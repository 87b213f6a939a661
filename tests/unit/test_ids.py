"""Time-ordered ids."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from shared.ids import uuid7

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def test_an_id_is_a_uuid_of_version_7_in_the_order_of_time() -> None:
    """Version and variant are where RFC 9562 has them, and later ids are greater as texts."""
    ids = [uuid7(NOON + timedelta(milliseconds=number)) for number in range(100)]
    assert all(
        re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", each) for each in ids
    )
    assert all(earlier < later for earlier, later in pairwise(ids))


def test_ids_of_one_moment_differ() -> None:
    """Their other 74 bits are drawn from the system, all of them."""
    bits = [int(uuid7(NOON).replace("-", ""), 16) for _ in range(1_000)]
    assert len({*bits}) == 1_000
    varied = 0
    for each in bits:
        varied |= each ^ bits[0]
    assert varied.bit_count() == 74
