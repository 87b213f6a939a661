"""The findings as tables for people."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from order_service.cli.system.audit.findings import Findings
from order_service.cli.system.audit.money import Amounts
from order_service.cli.system.audit.violations import Violation, plain
from shared.currencies import figure
from shared.terminal import harmless

SHOWN = 20  # lines of a kind; the rest is counted
MOVES = ("received", "reserved", "released", "issued")


def report(found: Findings) -> RenderableType:
    """What was checked, what every service and the outside world have written down, and whether it adds up."""
    sections: list[RenderableType] = [Text("The books", "bold")]
    for section in (_money(found), *([_goods(found)] if found.whole else []), _parcels(found)):
        sections += [Text(), section]
    return Group(*sections, Text(), *_verdict(found))


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    return table


def _money(found: Findings) -> Table:
    table = _table(f"money, {found.currency}", *Amounts._fields, "held", "kept")
    for name, sums in {"payment's ledger": found.ledger, "the card network": found.network}.items():
        amounts = (*sums, sums.held, sums.kept)
        code = found.currency  # none while there are no orders
        table.add_row(name, *(figure(each, code) if code else f"{each:,}" for each in amounts))
    return table


def _goods(found: Findings) -> Table:
    table = _table("stock", *MOVES, "still reserved", "on hand")
    for sku, moved in sorted(found.goods.moved.items()):
        if moved.keys() - {"received"}:
            reserved = moved["reserved"] - moved["released"] - moved["issued"]
            counts = [*(moved[kind] for kind in MOVES), reserved, found.goods.on_hand.get(sku, 0)]
            table.add_row(sku, *(f"{count:,}" for count in counts))
    return table


def _parcels(found: Findings) -> Table:
    table = _table("parcels", "booked", "cancelled", "dispatched")
    for carrier, done in sorted(found.carriers.items()):
        table.add_row(carrier, *(f"{done[kind]:,}" for kind in ("book", "cancel", "dispatch")))
    return table


def _verdict(found: Findings) -> Iterator[Text]:
    statuses = ", ".join(f"{count:,} {status}" for status, count in sorted(found.statuses.items()))
    others = (f"{count:,} {what}" for what, count in found.checked.items() if what != "orders")
    yield Text(
        f"checked: {found.checked['orders']:,} orders{f' ({statuses})' if statuses else ''}, {', '.join(others)}"
    )
    yield from _shown("settled by hand: ", found.by_hand, "yellow")
    if found.need_a_person.count:
        yield Text(f"a person must look at {found.need_a_person.of('order')}: see `fulfillment show`", "yellow")
    for name, lost in found.messages.made_good.items():
        were = "message was" if lost.count == 1 else "messages were"
        yield Text(f"{lost.count:,} {were} lost on the way to {name}, and made good by later ones", "yellow")
    for each in found.under_way:
        yield Text(f"under way: {each}", "yellow")
    for violation in found.violations[:SHOWN]:
        yield from _told(violation)
    if found.total > SHOWN:
        kinds = ", ".join(f"{count:,} × {kind}" for kind, count in found.counts.most_common())
        yield Text(f"and {found.total - SHOWN:,} more; all in all {kinds}", "red")
    yield _last_line(found)


def _told(violation: Violation) -> Iterator[Text]:
    """A violation, and the rows that disagree."""
    yield Text(harmless(str(violation)), "red")
    for table, row in violation.rows.items():
        yield Text(harmless(f"    {table}: {plain(row)}"), "dim")


def _last_line(found: Findings) -> Text:
    if found.total:
        return Text(f"The books do not add up: {found.total:,} violation{'s' if found.total > 1 else ''}", "bold red")
    if found.under_way:
        return Text("The books add up so far: not everything has come to rest", "bold yellow")
    if found.by_hand:
        return Text("The books add up, but for what people have settled by hand", "bold green")
    if not found.whole:
        return Text("The books of these orders add up", "bold green")
    return Text("The books add up: every order, cent, piece and parcel is accounted for", "bold green")


def _shown(before: str, lines: Sequence[str], style: str) -> Iterator[Text]:
    """The first of these lines, and how many more there are."""
    for each in lines[:SHOWN]:
        yield Text(before + each, style)
    if more := lines[SHOWN:]:
        yield Text(f"{before}and {len(more):,} more", style)
