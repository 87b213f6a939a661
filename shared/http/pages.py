"""Lists in pages: `{"items": […], "next": cursor or null}`."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from marshmallow import Schema, fields

from shared.http.bounds import ANSWER_LIMIT
from shared.http.fields import Cursor, StrictSchema, WholeText, cursor

MOST = 200

Row = TypeVar("Row")


def page_schema(key: str, *, limit: int = 50) -> type[StrictSchema]:
    """The query parameters of a list whose keys match the pattern `key`: `cursor` (None: the beginning) and `limit`."""
    parts = {
        "cursor": Cursor(key, load_default=None, metadata={"description": "`next` of the page before"}),
        "limit": WholeText(1, MOST, load_default=limit),
    }
    return type("PageSchema", (StrictSchema,), parts)


def listed(item: type[Schema]) -> type[Schema]:
    """A page of such items, for the documentation."""
    name = item.__name__.removesuffix("Schema")
    parts = {
        "items": fields.List(fields.Nested(item), required=True),
        "next": fields.String(required=True, allow_none=True, metadata={"description": "cursor of the next page"}),
    }
    return type(f"{name}PageSchema", (Schema,), parts)


def page(rows: Sequence[Row], limit: int, key: Callable[[Row], str], show: Callable[[Row], Any]) -> dict[str, Any]:
    """One page of `rows`, of which one more than `limit` was read to know whether the list goes on.

    It has fewer items when they would be more than ANSWER_LIMIT bytes, but at least one.
    """
    items: list[msgspec.Raw] = []
    size = 0
    for row in rows[:limit]:
        item = msgspec.Raw(msgspec.json.encode(show(row)))
        size += len(item)
        if items and size > ANSWER_LIMIT:
            break
        items.append(item)
    last = rows[len(items) - 1] if items else None
    return {"items": items, "next": cursor(key(last)) if last is not None and len(rows) > len(items) else None}
