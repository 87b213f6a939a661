"""How values are written on the pages."""

from datetime import UTC, datetime
from typing import Any

from flask import Flask
from markupsafe import Markup

from shared.currencies import money


def plain(word: Any) -> str:
    """A status, reason or event without its underscores: `awaiting approval`."""
    return str(word).replace("_", " ").replace(".", " ")


def short(order_id: str) -> str:
    """The end of an order id: ids of the same time begin alike."""
    return f"…{order_id[-8:]}"


def since(at: datetime) -> Markup:
    """How long ago, kept right by the page itself."""
    return Markup('<time datetime="{}" title="{}" data-since>{}</time>').format(_iso(at), clock(at), clock(at))


def until(at: datetime) -> Markup:
    """A countdown, kept right by the page itself."""
    return Markup('<time datetime="{}" title="{}" data-until>{}</time>').format(_iso(at), clock(at), clock(at))


def clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def field(at: datetime) -> str:
    """As a browser's field for a date and a time has it; in UTC, which it does not say."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"


def hidden(value: Any) -> str:
    """As a form's hidden field carries it on."""
    if isinstance(value, datetime):
        return _iso(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def offset(at: datetime, start: datetime) -> str:
    """Seconds, minutes … after the start."""
    seconds = (at - start).total_seconds()
    if seconds < 120:
        return f"{seconds:.2f} s"
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def teach(app: Flask) -> None:
    """Have the pages' templates know these."""
    app.jinja_env.filters.update(
        plain=plain,
        short=short,
        since=since,
        until=until,
        clock=clock,
        field=field,
        hidden=hidden,
        money=money,
        iso=_iso,
        offset=offset,
    )
