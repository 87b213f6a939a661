"""Single doors: one module, or package, each to the broker's library, to the time of day and to the environment."""

import ast

import pytest

from tests.architecture.source import files, names_used, package_modules, relative

DOORS = {
    "pika": "shared/messaging/brokers/rabbitmq/",
    "sqlalchemy.exc": "shared/database/",
    "datetime.datetime.now": "shared/clock.py",
    "datetime.datetime.utcnow": "shared/clock.py",
    "datetime.datetime.today": "shared/clock.py",
    "datetime.date.today": "shared/clock.py",
    "time.time": "shared/clock.py",
    "time.time_ns": "shared/clock.py",
    "os.environ": "shared/config.py",
    "os.getenv": "shared/config.py",
    "os.putenv": "shared/config.py",
}


@pytest.mark.parametrize("name", DOORS)
def test_there_is_one_door(name: str) -> None:
    """Nothing but its one module, or package, uses the name; `time.monotonic` is free, for it tells no time of day."""
    users = {
        relative(path)
        for path in package_modules()
        if any(used == name or used.startswith(f"{name}.") for used in names_used(path))
    }
    assert {user for user in users if not user.startswith(DOORS[name])} == set()


def test_no_module_swallows_every_exception() -> None:
    """Nobody catches everything and does nothing: weather and bugs are told apart."""
    guilty = [
        f"{relative(path)}:{node.lineno}"
        for path in package_modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"})
        and all(isinstance(statement, ast.Pass | ast.Continue) for statement in node.body)
    ]
    assert guilty == []


def test_no_room_is_named_for_nothing() -> None:
    """A module's name says what it is for."""
    shapeless = {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc"}
    assert [relative(path) for path in files() if path.suffix == ".py" and path.stem in shapeless] == []
