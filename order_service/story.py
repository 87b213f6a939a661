"""An order's story in words: one plain sentence or two for each line of its history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from order_service.fulfillment.saga import Workflow

Entry = Mapping[str, Any]  # a line of history

DONE = {
    "payment": "The money is authorized",
    "inventory": "The goods are reserved",
    "approval": "A person approved the order",
    "shipping": "A carrier has booked the parcel",
    "capture": "The money is captured: from here on the order can only go forward",
    "issue": "The goods have left the warehouse",
    "dispatch": "The parcel is on its way",
}
FAILED = {
    "payment": "The card was declined",
    "inventory": "The goods are not in stock",
    "approval": "A person refused the order",
    "shipping": "No carrier takes the parcel",
    "capture": "The money could not be captured",
}
UNDONE = {
    "payment": "The money is given back",
    "inventory": "The goods are back in stock",
    "shipping": "The parcel is cancelled",
}
NOT_UNDONE = {
    "payment": "The money cannot be given back",
    "shipping": "The parcel cannot be cancelled",
}
ASKED = {
    "payment": "payment is asked to authorize the money",
    "inventory": "inventory is asked to reserve the goods",
    "approval": "a person is asked to approve",
    "shipping": "shipping is asked to book a parcel",
    "capture": "payment is asked to capture the money",
    "issue": "inventory is asked to hand the goods over",
    "dispatch": "shipping is asked to send the parcel",
}
UNDOING = {
    "payment": "payment is asked to give the money back",
    "inventory": "inventory is asked to release the goods",
    "shipping": "shipping is asked to cancel the parcel",
}
SAID = {"done": DONE, "failed": FAILED, "compensated": UNDONE, "compensating": NOT_UNDONE}  # by the status it reports
ENDS = {
    "fulfilled": "The order is fulfilled",
    "cancelled": "The order is cancelled, and nothing is owed any more",
    "cancelling": "The order turns back",
}
SILENCES = 3  # in a row that are told one by one
PEOPLE = {
    "order_placed": "The order was placed",
    "cancellation_requested": "A cancellation was asked for",
    "reversal_requested": "The capture was withdrawn by hand",
    "retry_requested": "Asking again was ordered by hand",
    "settlement_requested": "The step was seen to by hand",
    "deadline_moved": "The deadline was moved by hand",
    "difference_found": "What a participant holds differs from what the order believes",
    "work_found": "The order was lost, and is found again by what was done for it",
}


@dataclass(frozen=True, kw_only=True)
class Sentence:
    at: datetime
    text: str
    actor: str


def tell(flow: Workflow, history: Sequence[Entry]) -> list[Sentence]:
    """The story so far, the oldest first. Of a long silence its beginning and its end are told; lines that are missing
    in `history` are counted."""
    told: list[Sentence] = []
    expected = 0
    for (silent, _), run in groupby(enumerate(history), _chapter):
        lines = [entry for _, entry in run]
        missing = lines[0]["seq"] - expected if expected else 0
        if missing:
            told.append(_remark(lines[0], f"{missing} lines of the history are left out here."))
        if silent and len(lines) > SILENCES:
            remark = _remark(lines[1], f"So it went {len(lines) - 2} times more, until:")
            told += [_told(flow, lines[0]), remark, _told(flow, lines[-1])]
        else:
            told += [_told(flow, entry) for entry in lines]
        expected = lines[-1]["seq"] + 1
    return told


def _chapter(numbered: tuple[int, Entry]) -> tuple[bool, int]:
    """The same for lines that follow each other without a gap and, all or none of them, tell of silence: nothing came
    but time, and nothing but asking again came of it."""
    number, entry = numbered
    return entry["event"] == "tick" and entry["from_status"] == entry["to_status"], entry["seq"] - number


def _told(flow: Workflow, entry: Entry) -> Sentence:
    return Sentence(at=entry["at"], text=_sentence(flow, entry), actor=entry["actor"])


def _remark(entry: Entry, text: str) -> Sentence:
    return Sentence(at=entry["at"], text=text, actor="")


def _sentence(flow: Workflow, entry: Entry) -> str:
    parts = [_heard(flow, entry)]
    if did := [_deed(each) for each in entry["did"]]:
        parts.append(f"{_capital(listed(did))}.")
    if entry["to_status"] != entry["from_status"] and entry["to_status"] in ENDS:
        parts.append(f"{ENDS[entry['to_status']]}.")
    return " ".join(part for part in parts if part)


def _heard(flow: Workflow, entry: Entry) -> str:
    """What was said, and whether it mattered."""
    event, step, outcome = entry["event"], entry["step"] or "", entry["outcome"]
    kinds = {kind.type: (meant.name, status) for kind, (meant, status) in flow.meaning.items()}
    if event == "tick":
        return "Time passed without an answer."
    if event in kinds:
        name, status = kinds[event]
        words = SAID[status].get(name, f"{name} is {status}")
    else:
        words = PEOPLE.get(event, event.replace("_", " ").replace(".", " "))
        words += f" ({step})" if step else ""
    if entry["detail"]:
        words += f" (“{entry['detail']}”)"
    if outcome != "acted":
        words = f"Heard, and only noted ({outcome.removeprefix('noted: ')}): {words[0].lower()}{words[1:]}"
    return f"{words}."


def _deed(deed: str) -> str:
    step, _, what = deed.partition(" ")
    if what.startswith("requested again"):
        return f"{asking(step)} again ({what.rpartition(', ')[2]})"
    if what.startswith("compensating again"):
        return f"{asking(step, undoing=True)} again ({what.rpartition(', ')[2]})"
    known = {"requested": ASKED.get(step), "compensating": UNDOING.get(step), "skipped": f"{step} is not needed"}
    return known.get(what) or f"{step} is {what}"


def asking(step: str, *, undoing: bool = False) -> str:
    """Who is asked for what: `payment is asked to give the money back`."""
    return (UNDOING if undoing else ASKED).get(step, f"{step} is asked{' to undo what it did' * undoing}")


def listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
