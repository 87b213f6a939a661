"""The workflow as a picture: where each step of the declaration stands, and how they are joined."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from order_service.fulfillment.saga import Kind, Workflow

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y, MARGIN, TOP = 148, 66, 46, 18, 8, 26

WORDS = {
    "waiting": "not asked yet",
    "requested": "asked",
    "done": "done",
    "skipped": "not needed",
    "failed": "failed",
    "compensating": "being undone",
    "compensated": "undone",
    "withdrawn": "withdrawn",
}


@dataclass(frozen=True, kw_only=True)
class Box:
    """A step: where it stands, in pixels, and how far it is, in words."""

    name: str
    x: int
    y: int
    status: str
    words: str
    note: str
    pivot: bool
    parked: bool


@dataclass(frozen=True, kw_only=True)
class Edge:
    """From a step to one that waits for it, as an SVG path."""

    path: str
    passed: bool


@dataclass(frozen=True, kw_only=True)
class Drawing:
    width: int
    height: int
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]
    pivot_x: int  # a line behind the pivot: from there on, everything is done rather than undone
    summary: str  # the same in words, for those who do not see it


def draw(flow: Workflow, steps: Mapping[str, Mapping[str, Any]]) -> Drawing:
    """Parallel steps stand in one column, each behind the last that it waits for. `steps` are an order's, by name."""
    columns = _columns(flow)
    rows = {name: row for column in columns for row, name in enumerate(column)}
    at = {name: x for x, column in enumerate(columns) for name in column}
    tallest = max(map(len, columns))
    height = TOP + tallest * (BOX_HEIGHT + GAP_Y) - GAP_Y + MARGIN

    def place(name: str) -> tuple[int, int]:
        free = (tallest - len(columns[at[name]])) * (BOX_HEIGHT + GAP_Y) // 2
        x = MARGIN + at[name] * (BOX_WIDTH + GAP_X)
        return x, TOP + free + rows[name] * (BOX_HEIGHT + GAP_Y)

    boxes = tuple(_box(flow, name, steps[name], *place(name)) for name in flow.named)
    edges = tuple(
        _edge(place(before), place(step.name), steps[before]["status"] in ("done", "skipped"))
        for step in flow.steps
        for before in step.after
    )
    return Drawing(
        width=2 * MARGIN + len(columns) * (BOX_WIDTH + GAP_X) - GAP_X,
        height=height,
        boxes=boxes,
        edges=edges,
        pivot_x=place(flow.pivot.name)[0] + BOX_WIDTH + GAP_X // 2,
        summary="; ".join(f"{each.name}: {each.words}" for each in boxes),
    )


def _columns(flow: Workflow) -> list[list[str]]:
    depth: dict[str, int] = {}
    for step in flow.steps:  # `after` points backwards
        depth[step.name] = max((depth[each] + 1 for each in step.after), default=0)
    return [[name for name in flow.named if depth[name] == column] for column in range(max(depth.values()) + 1)]


def _box(flow: Workflow, name: str, progress: Mapping[str, Any], x: int, y: int) -> Box:
    declared, status, attempts = flow.named[name], str(progress["status"]), progress["attempts"]
    asked = status in ("requested", "compensating") and declared.request is not None
    return Box(
        name=name,
        x=x,
        y=y,
        status=status,
        words="waits for a person" if status == "requested" and declared.request is None else WORDS[status],
        note=f"attempt {attempts} of {declared.attempts}" if asked else "",
        pivot=declared.kind is Kind.PIVOT,
        parked=progress["deadline"] is not None and attempts > declared.attempts,
    )


def _edge(start: tuple[int, int], end: tuple[int, int], passed: bool) -> Edge:
    x1, y1 = start[0] + BOX_WIDTH, start[1] + BOX_HEIGHT // 2
    x2, y2 = end[0], end[1] + BOX_HEIGHT // 2
    middle = x2 - GAP_X // 2
    return Edge(path=f"M{x1} {y1} H{middle - 8} C{middle} {y1} {middle} {y2} {middle + 8} {y2} H{x2}", passed=passed)
