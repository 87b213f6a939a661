"""How orders look on a terminal, and as plain lines."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from shared.currencies import money

Order = Mapping[str, Any]  # as the API answers it

MARKS = {
    "waiting": ("·", "dim"),
    "requested": ("…", "yellow"),
    "done": ("✓", "green"),
    "skipped": ("–", "dim"),
    "failed": ("✗", "red"),
    "compensating": ("↶", "yellow"),
    "compensated": ("↩", "cyan"),
    "withdrawn": ("⊘", "cyan"),
}
COLORS = {"fulfilled": "green", "cancelled": "cyan", "cancelling": "yellow"}


def harmless(text: str) -> str:
    """A stranger's text without what a terminal would obey."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def console() -> Console:
    """Where to print: as wide as the terminal, or wide enough for a table where there is none."""
    return Console(width=None if Console().is_terminal else 150, highlight=False, markup=False)


def is_final(order: Order) -> bool:
    return order["status"] in ("fulfilled", "cancelled")


def status(order: Order) -> Text:
    """The status, with what one wants to know beside it."""
    text = Text(order["status"].replace("_", " "), COLORS.get(order["status"], "bold"))
    if order["reason"]:
        text.append(f": {order['reason'].replace('_', ' ')}", "dim")
    if order["needs_attention"]:
        text.append(" needs attention", "bold red")
    return text


def marks(order: Order) -> list[Text]:
    """One mark for each step, with the number of times it was asked when that is more than once."""
    return [Text(_mark(step), MARKS[step["status"]][1]) for step in order["steps"]]


def _mark(step: Mapping[str, Any]) -> str:
    again = step["attempts"] > 1 and step["status"] in ("requested", "compensating")
    return MARKS[step["status"]][0] + (str(step["attempts"]) if again else "")


def line(order: Order) -> str:
    """An order's standing on one plain line: `confirmed  payment ✓ inventory ✓ …`."""
    steps = " ".join(f"{step['name']} {_mark(step)}" for step in order["steps"])
    return f"{status(order).plain:36}  {steps}"


def history_line(entry: Mapping[str, Any]) -> str:
    """A line of an order's history: `  2  12:00:00.020  payment               payment.declined -> …`."""
    did = f" -> {', '.join(entry['did'])}" if entry["did"] else ""
    noted = "" if entry["outcome"] == "acted" else f" ({entry['outcome']})"
    return f"{entry['seq']:3}  {entry['at'][11:23]}  {entry['actor']:20}  {entry['event']}{noted}{did}"


def table(orders: Sequence[Order]) -> Table:
    """Orders, one a row."""
    result = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("order", "placed", "customer", "total", "status"):
        result.add_column(heading, justify="right" if heading == "total" else "left", no_wrap=heading != "status")
    for each in orders:
        total = money(each["total"], each["currency"])
        placed = each["placed_at"][:19].replace("T", " ")
        result.add_row(each["id"], placed, each["customer_id"], total, status(each))
    return result


def card(order: Order) -> RenderableType:
    """One order, whole."""
    facts = Table.grid(padding=(0, 2))
    for name, text in _facts(order):
        facts.add_row(Text(name, "dim"), text)
    steps = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("", "step", "kind", "status", "asked", "settled at", "deadline"):
        steps.add_column(heading)
    for step, mark in zip(order["steps"], marks(order), strict=True):
        asked = f"{step['attempts']}x" if step["attempts"] else ""
        moments = [(step[name] or "")[11:19] for name in ("settled_at", "deadline")]
        steps.add_row(mark, step["name"], step["kind"], step["status"], asked, *moments)
    return Group(facts, Text(), steps)


def _facts(order: Order) -> list[tuple[str, str | Text]]:
    currency = order["currency"]
    to = order["ship_to"]
    lines = [f"{each['quantity']} x {each['sku']} = {money(each['line_total'], currency)}" for each in order["lines"]]
    paid = ", ".join(f"{name} {money(amount, currency)}" for name, amount in order["payment"].items() if amount)
    parcel = " ".join(order[name] for name in ("carrier", "tracking_number") if order[name])
    facts = [
        ("order", order["id"]),
        ("status", status(order)),
        ("because", harmless(order["reason_detail"] or "")),
        ("customer", order["customer_id"]),
        ("lines", "\n".join(lines)),
        ("total", money(order["total"], currency)),
        ("money", paid),
        ("ship to", harmless(f"{to['name']}, {to['city']}, {to['country']}")),
        ("parcel", parcel),
    ]
    return [(name, text) for name, text in facts if text]
