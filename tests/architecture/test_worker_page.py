"""The page about a worker names what is there."""

import re

from shared.messaging import broker, calls, consumer, notifier, watchdog, worker
from shared.messaging.durability import dead_letters, inbox, outbox
from tests.architecture.source import ROOT

PAGE = (ROOT / "docs" / "worker.md").read_text()
MODULES = (broker, calls, consumer, notifier, watchdog, worker, dead_letters, inbox, outbox)
NAMES = {
    name: value
    for module in MODULES
    for name, value in vars(module).items()
    if getattr(value, "__module__", module.__name__) == module.__name__
}


def test_the_picture_names_what_is_there() -> None:
    """Each `Class.member` of the page is one, and each class and constant of the picture."""
    members = re.findall(r"\b([A-Z]\w+)\.([a-z_]+)\b", PAGE)
    assert len(members) >= 8
    for owner, member in members:
        assert member in vars(NAMES[owner]) or (owner, member) == ("Worker", "chores"), f"{owner}.{member}"
    for name in ("Inbox", "Outbox", "DeadLetters", "Notifier", "watch", "ATTEMPTS_ALONE"):
        assert name in NAMES
        assert name in PAGE


def test_the_picture_shows_all_chores() -> None:
    """Every chore by its name: what a worker does between batches."""
    (shown,) = re.findall(r"Worker\.chores: ([a-z_, ]+)", PAGE)
    assert [each for each in shown.split(", ") if not hasattr(worker.Worker, f"_{each}")] == ["timers"]
    assert hasattr(worker.Worker, "_fire_timers")
