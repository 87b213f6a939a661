"""`report.html`: one file, with nothing to fetch, in light and dark."""

from collections.abc import Iterator, Sequence
from html import escape

from order_service.cli.system.prove.report import costs, headline, seconds
from order_service.cli.system.prove.score import Happened, Score, recoveries

WIDTH, PLOT, ROW, LEFT = 1000, 180, 7, 40  # pixels
SHOWN = 1_000  # violations
STYLE = """
:root{color-scheme:light dark;--ink:#1a1c1f;--dim:#62666d;--line:#d9dce1;--bed:#fff;--placed:#7a8699;--ended:#1f6fb8;
--fault:#c98a1b;--bad:#c0392b;--good:#1d7a46}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--dim:#9aa0a8;--line:#3a3e45;--bed:#15171a;--placed:#8b97a8;
--ended:#62aef0;--fault:#d9a441;--bad:#ef7a6d;--good:#5cc98b}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--bed);max-width:1040px;margin:2rem auto;
padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.15rem .9rem .15rem 0;text-align:right;border-bottom:1px solid var(--line)}
th:first-child,td:first-child,td.text{text-align:left}th{color:var(--dim);font-weight:500}
svg{width:100%;height:auto}svg text{fill:var(--dim);font-size:11px}
.placed{fill:none;stroke:var(--placed)}.ended{fill:none;stroke:var(--ended);stroke-width:1.5}
.bad{fill:none;stroke:var(--bad)}.fault{fill:var(--fault)}.axis{stroke:var(--line)}
.verdict{font-weight:600;color:var(--good)}.verdict.wrong,li{color:var(--bad)}
.scroll{overflow-x:auto}
"""


def page(score: Score) -> str:
    """The whole document."""
    wrong = " wrong" if score.violations else ""
    sections = [
        f"<h1>{escape(score.command)}</h1>",
        f'<p class="verdict{wrong}">{escape(headline(score))}</p>',
        f"<p>{escape(score.begun)}, seed {score.seed}, {escape(_versions(score))}</p>",
        "<h2>Orders a second, and the faults beneath</h2>",
        _timeline(score),
        "<h2>Orders by fate</h2>",
        _table(["fate", "placed", "ended as"], _fates(score)),
        "<h2>Faults by kind</h2>",
        "<p>Seconds from the end of a fault until the next order ended, and until all had ended that were under way "
        "then; where nothing else was broken meanwhile.</p>",
        _table(["kind", "times", "moved: median", "worst", "caught up: median", "worst"], _faults(score)),
        "<h2>What it took</h2>",
        *(f"<p>{escape(line)}</p>" for line in costs(score)),
        *_violations(score),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
    title = f"<title>{escape(headline(score))}</title>"
    return f'<!doctype html><html lang="en"><head>{head}{title}</head><body>{"".join(sections)}</body></html>\n'


def _versions(score: Score) -> str:
    return ", ".join(f"{name} {version}" for name, version in score.versions.items())


def _timeline(score: Score) -> str:
    whole = max(1.0, score.seconds)
    most = max([1, *score.placed_by_second, *score.ended_by_second])
    rows = _rows(score.faults)
    height = PLOT + 30 + ROW * (max((row for row, _ in rows), default=0) + 1)

    def x(second: float) -> float:
        return round(LEFT + second / whole * (WIDTH - LEFT), 1)

    def line(name: str, counts: Sequence[int]) -> str:
        points = " ".join(
            f"{x(at)},{round(PLOT - min(n, most) / most * (PLOT - 10), 1)}" for at, n in enumerate(counts)
        )
        return f'<polyline class="{name}" points="{points}"/>'

    parts = [line("placed", score.placed_by_second), line("bad", score.bad_by_second)]
    parts += [line("ended", score.ended_by_second)]
    parts += [f'<line class="axis" x1="{LEFT}" y1="{PLOT}" x2="{WIDTH}" y2="{PLOT}"/>']
    parts += [f'<text x="0" y="14">{most}</text><text x="0" y="{PLOT}">0</text>']
    every = max(10, round(whole / 10 / 10) * 10)
    parts += [f'<text x="{x(at)}" y="{PLOT + 14}">{at} s</text>' for at in range(0, int(whole), every)]
    for row, fault in rows:
        wide = max(2.0, x(fault.healed) - x(fault.began))
        words = escape(f"{fault.number}: {fault.kind}, {fault.part}, {fault.began:.1f} to {fault.healed:.1f} s")
        place = f'x="{x(fault.began)}" y="{PLOT + 22 + ROW * row}" width="{wide:.1f}" height="{ROW - 2}"'
        parts.append(f'<rect class="fault" {place}><title>{words}</title></rect>')
    label = "orders placed (grey) and ended (blue) a second, failed answers (red), and a bar for each fault"
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">{"".join(parts)}</svg><p>{label}</p>'


def _rows(faults: Sequence[Happened]) -> list[tuple[int, Happened]]:
    """Each fault in the first row that is free."""
    ends: list[float] = []
    found = []
    for fault in sorted(faults, key=lambda each: each.began):
        row = next((row for row, end in enumerate(ends) if end <= fault.began), len(ends))
        ends[row:] = [fault.healed + 0.5, *ends[row + 1 :]]
        found.append((row, fault))
    return found


def _fates(score: Score) -> Iterator[list[str]]:
    for fate, ends in sorted(score.fates.items(), key=lambda each: -sum(each[1].values())):
        ended = ", ".join(f"{count:,} {how.replace('_', ' ')}" for how, count in sorted(ends.items()))
        yield [fate, f"{sum(ends.values()):,}", ended]


def _faults(score: Score) -> Iterator[list[str]]:
    for each in recoveries(score.done):
        yield [each.kind, str(each.faults), *seconds(each)]


def _table(head: Sequence[str], rows: Iterator[list[str]]) -> str:
    cells = ["<tr>" + "".join(f'<th scope="col">{escape(each)}</th>' for each in head) + "</tr>"]
    for row in rows:
        kinds = ("" if (each[:1].isdigit() and " " not in each) or each == "–" else ' class="text"' for each in row)
        row_cells = (f"<td{kind}>{escape(each)}</td>" for kind, each in zip(kinds, row, strict=True))
        cells.append(f"<tr>{''.join(row_cells)}</tr>")
    return f'<div class="scroll"><table>{"".join(cells)}</table></div>'


def _violations(score: Score) -> Iterator[str]:
    if score.violations:
        yield "<h2>Violations</h2><ul>"
        yield from (f"<li>{escape(each)}</li>" for each in score.violations[:SHOWN])
        yield "</ul>"
