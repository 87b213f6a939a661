"""Values as PostgreSQL writes and reads them as text, for the executor in `postgresql`."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from shared.database.errors import ValueRefused

Reader = Callable[[str], Any]
_TEXTS = (19, 25, 1042, 1043, 2278, 2950)  # name, text, char, varchar, void, uuid
READERS: Mapping[int, Reader] = {  # by the server's numbers of types
    16: "t".__eq__,  # bool
    17: lambda value: bytes.fromhex(value[2:]),  # bytea, as bytea_output=hex writes it
    **dict.fromkeys((20, 21, 23), int),
    **dict.fromkeys((114, 3802), msgspec.json.decode),  # json, jsonb
    701: float,
    1184: lambda value: datetime.fromisoformat(value).astimezone(UTC),  # timestamptz
    **dict.fromkeys(_TEXTS, str),
}


def reader(number: int, column: str) -> Reader:
    """How to read a column of the type with this number. Raises TypeError for one that nobody has thought of."""
    if known := READERS.get(number):
        return known
    raise TypeError(f"column {column}: no reader for PostgreSQL's type {number}: cast it, or add one")


def as_text(value: Any) -> bytes | None:
    """A parameter as the server reads it. Raises ValueRefused."""
    match value:
        case None:
            return None
        case bytes():
            return b"\\x" + value.hex().encode()
        case str():
            text = value
        case _:
            text = str(value)
    if "\0" in text:
        raise ValueRefused("no text of PostgreSQL takes a NUL")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueRefused(str(error)) from error
