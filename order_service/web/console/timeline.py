"""What happened when: one lane per service, from an order's history. Time that was only waited looks different."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from order_service.fulfillment.saga import Step, StepStatus, Workflow

Entry = Mapping[str, Any]  # a line of history, with its moments as datetimes

WIDTH, LEFT, RIGHT, TOP, LANE, BAR = 1000, 96, 16, 26, 24, 14
TO_UNDO = "compensating"


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A stretch of time in which somebody was asked: `work` ends with the answer, `wait` with asking again."""

    kind: str  # work, undo or wait
    x: float
    width: float
    y: int
    title: str


@dataclass(frozen=True, kw_only=True)
class Point:
    """A moment that has no length: placed, answered, cancelled."""

    kind: str  # good, bad or empty
    x: float
    y: int
    title: str


@dataclass(frozen=True, kw_only=True)
class Lane:
    name: str
    y: int


@dataclass(frozen=True, kw_only=True)
class TimeLine:
    width: int
    height: int
    lanes: tuple[Lane, ...]
    bars: tuple[Bar, ...]
    points: tuple[Point, ...]
    ticks: tuple[tuple[float, str], ...]  # x and the time since the order was placed
    begin: int  # where the lanes begin and end
    end: int


@dataclass(frozen=True, kw_only=True)
class _Asking:
    step: str
    undoing: bool
    began: datetime
    ended: datetime
    answered: bool


def lay_out(flow: Workflow, history: Sequence[Entry], now: datetime) -> TimeLine:
    """The history as a picture; `now` ends what is still unanswered.

    Longer pauses are drawn shorter than they were, or two days of waiting would hide all else.
    """
    askings = _askings(history, now)
    moments = sorted({each["at"] for each in history} | {moment for a in askings for moment in (a.began, a.ended)})
    place = _scale(moments)
    asked = {each.step for each in askings}
    owners = {step.name: _owner(step) for step in flow.steps if step.name in asked}
    lanes: list[Lane] = []
    y_of: dict[str, int] = {}
    y = TOP
    for name in ["order", *dict.fromkeys(owners.values())]:
        mine = [step for step, owner in owners.items() if owner == name]
        lanes.append(Lane(name=name, y=y))
        for number, step in enumerate(mine):
            y_of[step] = y + number * LANE
        y_of.setdefault(name, y)
        y += max(1, len(mine)) * LANE
    return TimeLine(
        width=WIDTH,
        height=y + 12,
        lanes=tuple(lanes),
        bars=tuple(_bar(each, place, y_of[each.step]) for each in askings),
        points=tuple(_point(each, place, y_of) for each in history if _is_point(each)),
        ticks=_ticks(moments, place),
        begin=LEFT,
        end=WIDTH - RIGHT,
    )


def _askings(history: Sequence[Entry], now: datetime) -> list[_Asking]:
    """Each time that a step was asked, until it was answered, asked again, or now."""
    found: list[_Asking] = []
    open_: dict[str, tuple[bool, datetime]] = {}

    def close(step: str, at: datetime, answered: bool) -> None:
        if step in open_:
            undoing, began = open_.pop(step)
            found.append(_Asking(step=step, undoing=undoing, began=began, ended=at, answered=answered))

    for entry in history:
        if entry["step"] and entry["outcome"] == "acted" and _settles(entry):
            close(entry["step"], entry["at"], answered=True)
        for deed in entry["did"]:
            step, _, what = deed.partition(" ")
            if what.startswith((StepStatus.REQUESTED, TO_UNDO)):
                close(step, entry["at"], answered=False)
                open_[step] = (what.startswith(TO_UNDO), entry["at"])
            else:
                close(step, entry["at"], answered=False)
    for step in list(open_):
        close(step, now, answered=False)
    return sorted(found, key=lambda each: each.began)


def _settles(entry: Entry) -> bool:
    """Whether it is an answer, and not only a person's wish about a step."""
    return not str(entry["event"]).endswith("_requested") and entry["event"] != "deadline_moved"


def _owner(step: Step) -> str:
    """The service that answers; where nothing is sent, people do."""
    return str(getattr(step.success, "producer", "people"))


def _scale(moments: Sequence[datetime]) -> Mapping[datetime, float]:
    """Where each moment lies: the logarithm of each pause, side by side."""
    lengths = [math.log1p((b - a) / timedelta(milliseconds=20)) for a, b in pairwise(moments)]
    whole, x = sum(lengths) or 1.0, 0.0
    places: dict[datetime, float] = {}
    room = WIDTH - LEFT - RIGHT
    for moment, length in zip(moments, [*lengths, 0.0], strict=True):
        places[moment] = round(LEFT + room * x / whole, 1)
        x += length
    return places


def _bar(asking: _Asking, place: Mapping[datetime, float], y: int) -> Bar:
    took = _spoken(asking.ended - asking.began)
    what = "undo" if asking.undoing else "work"
    asked = "asked to undo" if asking.undoing else "asked"
    return Bar(
        kind=what if asking.answered else "wait",
        x=place[asking.began],
        width=max(3.0, place[asking.ended] - place[asking.began]),
        y=y - BAR // 2,
        title=f"{asking.step}: {asked}, {'answered' if asking.answered else 'no answer'} after {took}",
    )


def _is_point(entry: Entry) -> bool:
    return bool(entry["event"] != "tick")


def _point(entry: Entry, place: Mapping[datetime, float], y_of: Mapping[str, int]) -> Point:
    turned = entry["to_status"] != entry["from_status"] and entry["to_status"] in ("cancelling", "cancelled")
    kind = "bad" if turned else "good" if entry["to_status"] == "fulfilled" else ""
    title = f"{entry['event']}: {entry['outcome']}"
    return Point(kind=kind, x=place[entry["at"]], y=y_of.get(entry["step"] or "order", y_of["order"]), title=title)


def _ticks(moments: Sequence[datetime], place: Mapping[datetime, float]) -> tuple[tuple[float, str], ...]:
    """The times since the beginning, where there is room to write them."""
    ticks: list[tuple[float, str]] = []
    for moment in moments:
        x = place[moment]
        if not ticks or x - ticks[-1][0] > 74:
            ticks.append((x, _spoken(moment - moments[0])))
    return tuple(ticks)


def _spoken(span: timedelta) -> str:
    seconds = span.total_seconds()
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 90:
        return f"{seconds:.1f} s"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size * 1.5:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
