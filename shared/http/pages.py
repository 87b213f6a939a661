"""Lists in pages: `{"items": […], "next": cursor or null}`."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from marshmallow import Schema, fields

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
    """One page of `rows`, of which one more than `limit` was read to know whether the list goes on."""
    shown = rows[:limit]
    return {
        "items": [show(row) for row in shown],
        "next": cursor(key(shown[-1])) if len(rows) > len(shown) else None,
    }
