"""The hash chain of an order's history: each entry covers the one before it.

Whoever changes, takes out, puts in or moves an entry has to write every hash after it anew; that the whole chain was
written anew is found by a seal that is kept elsewhere.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

BEGINNING = ""  # what the first entry follows; also the hash of what was written before there were chains
COVERED = (
    "order_id",
    "seq",
    "at",
    "event",
    "message_id",
    "actor",
    "step",
    "outcome",
    "detail",
    "did",
    "from_status",
    "to_status",
)


def link(before: str, entry: Mapping[str, Any]) -> str:
    """The hash of an entry that follows the one with the hash `before`: SHA-256, as 64 hexadecimal digits.

    It covers `before` and the columns COVERED as one JSON array in UTF-8 without spaces, in which only quotation marks,
    backslashes and control characters are escaped. `at` is text as `shared.database.timestamp` writes it.
    """
    return sha256(msgspec.json.encode([before, *(entry[name] for name in COVERED)])).hexdigest()
