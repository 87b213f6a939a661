"""The books as tables for people."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from order_service.cli.system.audit.auditing import Findings, several
from order_service.cli.system.audit.money import Amounts
from shared.currencies import figure
from shared.terminal import harmless

SHOWN = 20  # lines of a kind; the rest is counted
MOVES = ("received", "reserved", "released", "issued")


def report(books: Findings) -> RenderableType:
    """What every service and the outside world have written down, and whether it adds up."""
    sections: list[RenderableType] = [Text("The books", "bold")]
    for section in (_money(books), _goods(books), _parcels(books)):
        sections += [Text(), section]
    return Group(*sections, Text(), *_verdict(books))


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    return table


def _money(books: Findings) -> Table:
    table = _table(f"money, {books.orders.currency}", *Amounts._fields, "held", "kept")
    for name, sums in {"payment's ledger": books.money.ledger, "the card network": books.money.network}.items():
        amounts = (*sums, sums.held, sums.kept)
        code = books.orders.currency  # none while there are no orders
        table.add_row(name, *(figure(each, code) if code else f"{each:,}" for each in amounts))
    return table


def _goods(books: Findings) -> Table:
    table = _table("stock", *MOVES, "still reserved", "on hand")
    for sku, moved in sorted(books.goods.moved.items()):
        if moved.keys() - {"received"}:
            reserved = moved["reserved"] - moved["released"] - moved["issued"]
            counts = [*(moved[kind] for kind in MOVES), reserved, books.goods.on_hand.get(sku, 0)]
            table.add_row(sku, *(f"{count:,}" for count in counts))
    return table


def _parcels(books: Findings) -> Table:
    table = _table("parcels", "booked", "cancelled", "dispatched")
    for carrier, done in sorted(books.parcels.carriers.items()):
        table.add_row(carrier, *(f"{done[kind]:,}" for kind in ("book", "cancel", "dispatch")))
    return table


def _verdict(books: Findings) -> Iterator[Text]:
    statuses = ", ".join(f"{count:,} {status}" for status, count in sorted(books.orders.statuses.items()))
    statuses = f" ({statuses})" if statuses else ""
    yield Text(f"{len(books.orders.orders):,} orders{statuses}, {books.messages.published:,} messages")
    yield from _shown("settled by hand: ", books.by_hand, "yellow")
    if waiting := books.need_a_person:
        yield Text(f"a person must look at {several(waiting, 'order')}: see `fulfillment show`", "yellow")
    for name, ids in books.messages.made_good.items():
        yield Text(f"{len(ids):,} messages were lost on their way to {name}, and made good by later ones", "yellow")
    for each in books.under_way:
        yield Text(f"under way: {each}", "yellow")
    yield from _shown("", [harmless(str(each)) for each in books.violations], "red")
    count = len(books.violations)
    if count:
        yield Text(f"The books do not add up: {count:,} difference{'s' if count > 1 else ''}", "bold red")
    elif books.under_way:
        yield Text("The books add up so far: not everything has come to rest", "bold yellow")
    elif books.by_hand:
        yield Text("The books add up, but for what people have settled by hand", "bold green")
    else:
        yield Text("The books add up: every order, cent, piece and parcel is accounted for", "bold green")


def _shown(before: str, lines: Sequence[str], style: str) -> Iterator[Text]:
    """The first of these lines, and how many more there are."""
    for each in lines[:SHOWN]:
        yield Text(before + each, style)
    if more := lines[SHOWN:]:
        yield Text(f"{before}and {len(more):,} more", style)
