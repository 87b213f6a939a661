"""Moments: times as they are written wherever they are kept, the same in both databases and on every machine."""

from datetime import UTC, datetime
from functools import lru_cache

from sqlalchemy.exc import DataError


@lru_cache(maxsize=64)  # a batch says the same moment hundreds of times
def moment(at: datetime) -> str:
    """An aware time as text of fixed width in UTC, so that texts sort as the times do. A naive time is refused with
    DataError: it would mean another moment on another machine."""
    if at.tzinfo is None:
        raise DataError(None, None, ValueError(f"a naive time would be ambiguous: {at!r}"))
    return at.astimezone(UTC).isoformat(timespec="microseconds")
