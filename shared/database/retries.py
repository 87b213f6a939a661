"""Doing again at once what failed through nobody's fault."""

from collections.abc import Callable
from typing import TypeVar

from shared.database.errors import RowsChanged, StalePlan

Result = TypeVar("Result")

TRIES = 5


def retried(work: Callable[[], Result]) -> Result:
    """What `work` returns, begun anew when tables were migrated or rows were written meanwhile: the next try prepares
    its statements anew and reads anew. Nothing of it may be committed before it raises. Raises what the last try
    raises."""
    for _ in range(TRIES - 1):
        try:
            return work()
        except (RowsChanged, StalePlan):
            continue
    return work()
