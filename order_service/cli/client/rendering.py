"""How orders look on a terminal, and as plain lines. What is given here is harmless: see `connecting.present`."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from order_service.cli.client.times import Times
from shared.currencies import money

Order = Mapping[str, Any]  # as the API answers it
Entry = Mapping[str, Any]  # a line of history

ENDLESS = 500  # columns where there is no terminal: lines that programs read are not broken

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
UNKNOWN = ("?", "bold")  # of a newer service
COLORS = {"fulfilled": "green", "cancelled": "cyan", "cancelling": "yellow"}
COLUMNS = ("order", "placed", "customer", "total", "status")
LEFT_OUT = ("customer", "placed", "total")  # first, where the terminal is narrow; never the id and the status


def console() -> Console:
    """Where to print: as wide as the terminal, or endless where there is none."""
    return Console(width=None if Console().is_terminal else ENDLESS, highlight=False, markup=False, emoji=False)


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
    return [Text(_mark(step), MARKS.get(step["status"], UNKNOWN)[1]) for step in order["steps"]]


def _mark(step: Mapping[str, Any]) -> str:
    again = step["attempts"] > 1 and step["status"] in ("requested", "compensating")
    return MARKS.get(step["status"], UNKNOWN)[0] + (str(step["attempts"]) if again else "")


def line(order: Order) -> str:
    """An order's standing on one plain line: `confirmed  payment ✓ inventory ✓ …`."""
    steps = " ".join(f"{step['name']} {_mark(step)}" for step in order["steps"])
    return f"{status(order).plain:36}  {steps}"


def history_lines(entries: Sequence[Entry], times: Times) -> list[str]:
    """An order's history: `  2  12:00:00.020  payment               payment.declined “no” -> …`."""
    moments = [times(entry["at"], exact=True) for entry in entries]
    width = max(map(len, moments), default=0)
    return [_history_line(entry, f"{moment:>{width}}") for entry, moment in zip(entries, moments, strict=True)]


def _history_line(entry: Entry, moment: str) -> str:
    step = f" {entry['step']}" if ":" in entry["actor"] and entry["step"] else ""
    said = f" “{entry['detail']}”" if entry["detail"] else ""
    noted = "" if entry["outcome"] == "acted" else f" ({entry['outcome']})"
    did = f" -> {', '.join(entry['did'])}" if entry["did"] else ""
    return f"{entry['seq']:3}  {moment}  {entry['actor']:20}  {entry['event']}{step}{said}{noted}{did}"


def grid(*headings: str) -> Table:
    """An empty table without lines."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading)
    return table


def listing(orders: Sequence[Order], times: Times, screen: Console) -> RenderableType:
    """Orders, one a row, in as many columns as there is room for: the id and the status are always there, whole."""
    endless = screen.options.update(max_width=ENDLESS)
    for number in range(len(LEFT_OUT) + 1):
        left_out = LEFT_OUT[:number]
        table = _table(orders, times, [name for name in COLUMNS if name not in left_out])
        if Measurement.get(screen, endless, table).minimum <= screen.width:
            hidden = f"in a wider window, or with --json: {', '.join(left_out)}"
            return Group(table, Text(hidden, "dim")) if left_out else table
    lines = ((Text(each["id"], overflow="fold"), Padding(status(each), (0, 0, 0, 2))) for each in orders)
    return Group(*(part for pair in lines for part in pair))


def _table(orders: Sequence[Order], times: Times, columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    rows = [_cells(each, times) for each in orders]
    for name in columns:
        heading = f"placed, {times.zone}" if name == "placed" else name
        longest = max([len(heading), *(row[name].cell_len for row in rows)])
        least = len("awaiting approval") if name == "status" else longest  # a longer status is broken between words
        side: JustifyMethod = "right" if name == "total" else "left"
        table.add_column(heading, justify=side, min_width=least, no_wrap=name != "status")
    for row in rows:
        table.add_row(*(row[name] for name in columns))
    return table


def _cells(order: Order, times: Times) -> Mapping[str, Text]:
    return {
        "order": Text(order["id"]),
        "placed": Text(times(order["placed_at"])),
        "customer": Text(order["customer_id"]),
        "total": Text(money(order["total"], order["currency"])),
        "status": status(order),
    }


def card(order: Order, times: Times) -> RenderableType:
    """One order, whole."""
    facts = Table.grid(padding=(0, 2))
    for name, text in _facts(order, times):
        facts.add_row(Text(name, "dim"), Text(text) if isinstance(text, str) else text)
    steps = grid("", "step", "kind", "status", "asked", f"settled, {times.zone}", f"deadline, {times.zone}")
    for step, mark in zip(order["steps"], marks(order), strict=True):
        asked = f"{step['attempts']}x" if step["attempts"] else ""
        moments = [times(step[name]) for name in ("settled_at", "deadline")]
        cells = (step["name"], step["kind"], step["status"], asked, *moments)
        steps.add_row(mark, *map(Text, cells))
    return Group(facts, Text(), steps)


def _facts(order: Order, times: Times) -> list[tuple[str, str | Text]]:
    currency = order["currency"]
    to = order["ship_to"]
    lines = [f"{each['quantity']} x {each['sku']} = {money(each['line_total'], currency)}" for each in order["lines"]]
    paid = ", ".join(f"{name} {money(amount, currency)}" for name, amount in order["payment"].items() if amount)
    parcel = " ".join(order[name] for name in ("carrier", "tracking_number") if order[name])
    problems = "\n".join(f"{step['name']}: {step['problem']}" for step in order["steps"] if step["problem"])
    facts = [
        ("order", order["id"]),
        ("status", status(order)),
        ("look at" if order["needs_attention"] else "was seen to", problems),
        ("because", order["reason_detail"] or ""),
        ("customer", order["customer_id"]),
        ("placed", times.whole(order["placed_at"])),
        ("lines", "\n".join(lines)),
        ("total", money(order["total"], currency)),
        ("money", paid),
        ("ship to", f"{to['name']}, {to['city']}, {to['country']}"),
        ("parcel", parcel),
    ]
    return [(name, text) for name, text in facts if text]
